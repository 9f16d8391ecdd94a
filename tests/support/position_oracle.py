"""Mutual information in plain NumPy, a whole layer at once: what the JAX function of one neuron is held against."""

import numpy as np


def mutual_information(count: np.ndarray, windows: int) -> np.ndarray:
    """Measures the information between firing and position, exactly, with 0·ln 0 = 0.

    Args:
        count: int[T, F], windows in which the neuron is active at the position.
        windows: full windows counted.

    Returns:
        float64[F], nats; NaN below 2 windows, exactly 0 for a count that is constant.
    """
    positions, neurons = count.shape
    if windows < 2:
        return np.full(neurons, np.nan)
    frequency = count.sum(axis=0, dtype=np.int64) / (windows * positions)
    # A count is one of few integers: look its logarithms up. Taking the total's off
    # position by position keeps what is left exact where the pattern is flat.
    terms = _negative_entropy(np.arange(windows + 1) / windows)[count]
    terms -= _negative_entropy(frequency)
    return np.maximum(terms.mean(axis=0), 0.0)


def _negative_entropy(share: np.ndarray) -> np.ndarray:
    """p·ln p + (1−p)·ln(1−p), elementwise."""
    return _share_times_log(share) + _share_times_log(1 - share)


def _share_times_log(share: np.ndarray) -> np.ndarray:
    return share * np.log(np.where(share > 0, share, 1.0))

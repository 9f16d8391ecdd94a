"""What a neuron's firing says about its position (paper §5.1, Appendix B.1).

In: how many windows a neuron fired in at each position. Out: the mutual information
of firing and position in nats, how much of it chance adds, and what chance alone
would give. It is what makes a neuron positional, before anything is said of its shape.
"""

import functools
from typing import NamedTuple

import numpy as np

# One window shows every position once, so each looks like always or never.
FEWEST_WINDOWS = 2
# Neurons share null draws by frequency, rounded to this many steps; what chance adds
# hardly depends on the frequency, and the number of draws stays bounded.
FREQUENCY_STEPS = 256


class Null(NamedTuple):
    """How many times to draw a neuron that knows nothing of position, and from what seed."""

    draws: int
    seed: int = 0


def mutual_information(count: np.ndarray, windows: int) -> np.ndarray:
    """Measures the information between firing and position, exactly, with 0·ln 0 = 0.

    Args:
        count: int[T, F], windows in which the neuron is active at the position.
        windows: full windows counted.

    Returns:
        float64[F], nats; NaN below 2 windows, exactly 0 for a count that is constant.
    """
    positions, neurons = count.shape
    if windows < FEWEST_WINDOWS:
        return np.full(neurons, np.nan)
    frequency = count.sum(axis=0, dtype=np.int64) / (windows * positions)
    # A count is one of few integers: look its logarithms up. Taking the total's off
    # position by position keeps what is left exact where the pattern is flat.
    terms = _negative_entropy(np.arange(windows + 1) / windows)[count]
    terms -= _negative_entropy(frequency)
    return np.maximum(terms.mean(axis=0), 0.0)


def information_bias(windows: int) -> float:
    """Says what chance adds to the mutual information, to first order: 1 / (2·windows)."""
    return 1 / (2 * windows) if windows else np.nan


def null_information(
    frequency: float, windows: int, positions: int, null: Null
) -> np.ndarray:
    """Draws the mutual information of a neuron that fires alike at every position.

    The frequency is rounded to one of 256 steps, so a value depends on nothing but its
    arguments. Memory: 24 bytes a position and draw.

    Returns:
        float64[draws], nats, sorted.
    """
    step = round(frequency * FREQUENCY_STEPS)
    step = min(max(step, 1), FREQUENCY_STEPS - 1)
    return _null_of_step(step, windows, positions, null)


@functools.lru_cache(maxsize=FREQUENCY_STEPS)
def _null_of_step(step: int, windows: int, positions: int, null: Null) -> np.ndarray:
    generator = np.random.default_rng([null.seed, step, windows, positions])
    shape = (positions, null.draws)
    count = generator.binomial(windows, step / FREQUENCY_STEPS, size=shape)
    information = np.sort(mutual_information(count, windows))
    information.flags.writeable = False
    return information


def _negative_entropy(share: np.ndarray) -> np.ndarray:
    """p·ln p + (1−p)·ln(1−p), elementwise."""
    return _share_times_log(share) + _share_times_log(1 - share)


def _share_times_log(share: np.ndarray) -> np.ndarray:
    return share * np.log(np.where(share > 0, share, 1.0))

"""What a model must beat: cross-entropy of unigram and bigram models on the same held-out tokens.

In: the windows that the model learns from and those it is validated on. Out: nats per token.
"""

import numpy as np


def unigram_loss(
    training: np.ndarray, validation: np.ndarray, vocabulary: int
) -> float:
    """Mean cross-entropy of each target under the counts of training's targets plus one.

    Args:
        training: int32[W, T + 1]; the first token of a window is no target.
        validation: int32[N, T + 1].
        vocabulary: V.
    """
    log_probability = np.log(_unigram_probability(training, vocabulary))
    return float(-log_probability[validation[:, 1:]].mean())


def bigram_loss(training: np.ndarray, validation: np.ndarray, vocabulary: int) -> float:
    """Mean cross-entropy of each target given the token before it; arguments as `unigram_loss`.

    Smoothed by the unigram model after Witten and Bell (1991): a token followed by u different ones
    in c places gives weight u / (u + c) to the unigram model.
    """
    pairs, counts = np.unique(_pairs(training, vocabulary), return_counts=True)
    firsts = pairs // vocabulary
    kinds = np.bincount(firsts, minlength=vocabulary)
    totals = np.bincount(firsts, weights=counts, minlength=vocabulary)
    asked = _pairs(validation, vocabulary)
    place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    seen = np.where(pairs[place] == asked, counts[place], 0)
    first, second = np.divmod(asked, vocabulary)
    fallback = _unigram_probability(training, vocabulary)[second]
    # A token that was never followed by any has the unigram model alone.
    weight = np.where(totals[first] > 0, kinds[first], 1)
    probability = (seen + weight * fallback) / (totals[first] + weight)
    return float(-np.log(probability).mean())


def _unigram_probability(training: np.ndarray, vocabulary: int) -> np.ndarray:
    counts = np.bincount(training[:, 1:].reshape(-1), minlength=vocabulary) + 1.0
    return counts / counts.sum()


def _pairs(windows: np.ndarray, vocabulary: int) -> np.ndarray:
    """int64 ids of each token and its target."""
    ids = windows[:, :-1].astype(np.int64) * vocabulary + windows[:, 1:]
    return ids.reshape(-1)

"""Unigram and bigram losses against dictionaries, written from their definitions."""

import collections
import itertools
import math

import numpy as np
import pytest

from jaxneurons.training import baselines

V = 7


@pytest.fixture
def windows():
    rng = np.random.default_rng(0)
    # Ids 5 and 6 occur in held-out windows alone.
    return rng.integers(0, 5, (6, 9)), rng.integers(0, V, (3, 9))


def unigram(training):
    counts = collections.Counter(t for window in training for t in window[1:])
    total = sum(counts.values())
    return {token: (counts[token] + 1) / (total + V) for token in range(V)}


def bigram(training):
    """The probability of a token after another."""
    follows = collections.defaultdict(collections.Counter)
    for window in training:
        for first, second in itertools.pairwise(window):
            follows[first][second] += 1
    fallback = unigram(training)

    def probability(first, second):
        seen, kinds = follows[first], len(follows[first])
        if not seen:
            return fallback[second]
        weighted = seen[second] + kinds * fallback[second]
        return weighted / (seen.total() + kinds)

    return probability


def test_losses_are_those_of_their_definitions(windows):
    training, validation = windows
    pairs = [
        pair for window in validation.tolist() for pair in itertools.pairwise(window)
    ]
    one, two = unigram(training.tolist()), bigram(training.tolist())
    unigrams = [-math.log(one[second]) for _, second in pairs]
    bigrams = [-math.log(two(*pair)) for pair in pairs]
    assert baselines.unigram_loss(*windows, V) == pytest.approx(np.mean(unigrams))
    assert baselines.bigram_loss(*windows, V) == pytest.approx(np.mean(bigrams))


def test_bigram_probabilities_sum_to_one(windows):
    training, _ = windows
    for first in range(V):
        pairs = np.array([[[first, second]] for second in range(V)])
        losses = [baselines.bigram_loss(training, pair, V) for pair in pairs]
        assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1)

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


def test_unigram(windows):
    training, validation = windows
    probability = unigram(training.tolist())
    targets = validation[:, 1:].reshape(-1).tolist()
    wanted = -sum(math.log(probability[t]) for t in targets) / len(targets)
    assert baselines.unigram_loss(*windows, V) == pytest.approx(wanted)


def test_bigram(windows):
    training, validation = windows
    fallback = unigram(training.tolist())
    follows = collections.defaultdict(collections.Counter)
    for window in training.tolist():
        for first, second in itertools.pairwise(window):
            follows[first][second] += 1
    losses = []
    for window in validation.tolist():
        for first, second in itertools.pairwise(window):
            seen = follows[first]
            kinds, total = len(seen), sum(seen.values())
            if total:
                p = (seen[second] + kinds * fallback[second]) / (total + kinds)
            else:
                p = fallback[second]
            losses.append(-math.log(p))
    wanted = sum(losses) / len(losses)
    assert baselines.bigram_loss(*windows, V) == pytest.approx(wanted)


def test_bigram_probabilities_sum_to_one(windows):
    training, _ = windows
    for first in range(V):
        pairs = np.array([[first, second] for second in range(V)])
        total = sum(
            math.exp(-baselines.bigram_loss(training, pair[None], V)) for pair in pairs
        )
        assert total == pytest.approx(1)

"""Activation patterns of known type and strength, for the tests of positional neurons.

In: T. Out: the frequency by position, float64[T]; or counts of a given number of windows.
"""

import collections

import numpy as np

from jaxneurons.counting import statistics
from jaxneurons.stats import positions

Analyzed = collections.namedtuple("Analyzed", "mutual_information records summary")


def analyze_layer(layer, count, windows, criteria, null=None):
    """The mutual information of a layer's counts, and what `positions.analyze_layer` finds with it."""
    information = statistics.position_information(count, windows)
    found = positions.analyze_layer(layer, count, windows, information, criteria, null)
    return Analyzed(information, *found)


def square_wave(positions: int, periods: int) -> np.ndarray:
    """0 in the first half of each period, 1 in the second."""
    phase = np.arange(positions) * periods % positions * 2 // positions
    return phase.astype(np.float64)


def step(positions: int, at: int) -> np.ndarray:
    """0 below `at`, 1 from there on."""
    return (np.arange(positions) >= at).astype(np.float64)


def ramp(positions: int) -> np.ndarray:
    """Evenly from 0 to 1, at the middle of each position."""
    return (np.arange(positions) + 0.5) / positions


def jitter(positions: int) -> np.ndarray:
    """−1 and 1 in turn, a thick line: it strays from its average by 1."""
    return 1.0 - 2.0 * (np.arange(positions) % 2)


def patterns(positions: int) -> dict[tuple[str, str], np.ndarray]:
    """One pattern of each type and strength."""
    wave, stair = square_wave(positions, 4), step(positions, positions // 2)
    slope = ramp(positions)
    return {
        ("oscillatory", "strong"): wave,
        ("oscillatory", "weak"): 0.2 + 0.6 * wave,
        ("both", "strong"): stair,
        ("both", "weak"): 0.05 + 0.9 * stair,
        ("one", "strong"): 0.6 * stair,
        ("one", "weak"): 0.05 + 0.55 * stair,
        ("other", "strong"): 0.2 + 0.6 * slope,
        ("other", "weak"): 0.2 + 0.6 * slope + 0.05 * jitter(positions),
    }


def random_pattern(positions: int, generator: np.random.Generator) -> np.ndarray:
    """A logistic curve of a trend and up to three waves, as near to a threshold as it falls."""
    place = np.arange(positions) / positions
    height = generator.normal() + 3 * generator.normal() * (place - 0.5)
    for _ in range(generator.integers(1, 4)):
        phase = generator.uniform(0.3, 6) * place + generator.random()
        height += 2 * generator.normal() * np.cos(2 * np.pi * phase)
    return 1 / (1 + np.exp(-generator.choice([1, 3]) * height))


def draw(frequency: np.ndarray, windows: int, seed: int) -> np.ndarray:
    """Counts int64[T] of windows in which a neuron of that frequency happens to be active."""
    return np.random.default_rng(seed).binomial(windows, frequency)

"""How many n-grams cover neurons: bars of the first half of the layers, that add up."""

import copy

import numpy as np
import pytest

from jaxneurons.figures import coverage
from tests.support import pictures, summaries


@pytest.fixture
def section():
    """Tokens of a study of 12 layers; nobody is alive in layer 1."""
    copied = copy.deepcopy(summaries.summary("125m")["ngrams"]["1"])
    copied["layers"][1] |= {"alive": 0, "coverage_shares": None}
    return copied


def test_bars_add_up_to_all_alive_neurons_of_the_first_half(section):
    canvas = coverage.coverage_classes({"a": section})
    bars = np.array(pictures.bars(canvas.axes[0]))
    middles, bottoms, heights = np.moveaxis(bars, -1, 0)
    np.testing.assert_allclose(middles, [range(6)] * 6, atol=1e-9)
    np.testing.assert_allclose(heights.sum(axis=0), [100, 0, 100, 100, 100, 100])
    # The fewest n-grams are at the bottom, and no n-gram at the very top.
    classes = [1, 2, 3, 4, 5, 0]
    shares = np.array(section["layers"][3]["coverage_shares"])[classes]
    np.testing.assert_allclose(heights[:, 3], 100 * shares)
    np.testing.assert_allclose(
        bottoms[:, 3], 100 * (shares.cumsum() - shares), atol=1e-9
    )
    said = pictures.words(canvas)
    assert {"none alive", "layer (first half of 12)", "0: fires on no token"} <= set(
        said
    )


def test_upper_layers_are_not_shown(section):
    section["layers"] = section["layers"][6:]
    assert not coverage.has_alive(section)

"""Detectors by layer: lines at relative depth, and bars inside bars."""

import numpy as np

from jaxneurons.figures import depth, detectors
from tests.support import cases, pictures


def section(layers, number, first=0, n=1):
    """`summary["ngrams"][n]` with so many detectors in each layer."""
    rows = [
        {
            "layer": layer,
            "detectors": number,
            "ngrams": 2 * number,
            "new_overall": number,
            "new_against_previous": None if layer == first > 0 else number,
            "cumulative": number * (layer + 1),
        }
        for layer in range(first, layers)
    ]
    return {"n": n, "model_layers": layers, "layers": rows}


def looks(*names):
    return depth.looks({name: {"layers": 1, "neurons": 1} for name in names})


def test_lines_lie_at_relative_depth():
    studies = {"a": section(4, 5), "b": section(2, 7)}
    canvas = detectors.detector_counts(studies, looks(*studies))
    counts, detected = canvas.axes
    assert [line.get_xdata().tolist() for line in counts.lines] == [
        [0.125, 0.375, 0.625, 0.875],
        [0.25, 0.75],
    ]
    assert counts.lines[1].get_ydata().tolist() == [7, 7]
    assert [line.get_linestyle() for line in detected.lines] == ["-", "--"] * 2
    assert detected.lines[3].get_ydata().tolist() == [7, 14]
    assert counts.get_ylabel() and detected.get_ylabel()


@cases.each("layers, marks", [(24, 24), (64, 8)])
def test_layers_are_marked_one_by_one_only_while_they_are_few(layers, marks):
    canvas = detectors.detector_counts({"a": section(layers, 5)}, looks("a"))
    line = canvas.axes[0].lines[0]
    assert len(line.get_xdata()[:: line.get_markevery() or 1]) == marks


def test_bars_of_new_ngrams_nest_and_leave_out_what_is_unknown():
    studies = {"a": section(4, 5, first=2), "b": section(4, 9)}
    canvas = detectors.new_ngrams(studies)
    total, previous, overall = pictures.bars(canvas.axes[0])
    np.testing.assert_allclose(total, [(2, 0, 10), (3, 0, 10)])
    np.testing.assert_allclose(overall, [(2, 0, 5), (3, 0, 5)])
    np.testing.assert_allclose(previous, [(3, 0, 5)])
    assert "The vertical scales differ from panel to panel." in pictures.words(canvas)

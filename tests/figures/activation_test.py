"""Figure 1: lines at relative depth, each study its own, and one word for all certified ones."""

import numpy as np

from jaxneurons.figures import activation, depth
from tests.support import pictures


def section(dead, layers=3, activation_function="relu"):
    rows = [
        {
            "layer": layer,
            "dead_share": dead / 100,
            "certified_dead_share": dead / 200,
            "mean_frequency_alive": None if dead == 100 else 0.1,
        }
        for layer in range(layers)
    ]
    return {
        "model_layers": layers,
        "activation_function": activation_function,
        "dead": dead,
        "certified_dead": dead,
        "layers": rows,
    }


def looks(studies):
    return depth.looks({name: {"layers": 1, "neurons": 1} for name in studies})


def test_dead_neurons_of_each_study_at_relative_depth():
    studies = {"small": section(10), "large": section(70, 24, "gelu_new")}
    canvas = activation.dead_neurons(studies, looks(studies))
    small, large, *certified = canvas.axes[0].lines
    np.testing.assert_allclose(small.get_xdata(), [1 / 6, 0.5, 5 / 6])
    np.testing.assert_allclose(large.get_ydata(), 70)
    np.testing.assert_allclose(certified[1].get_ydata(), 35)
    assert certified[1].get_color() == large.get_color() != small.get_color()
    assert small.get_marker() != large.get_marker()
    legend = [one.get_text() for one in canvas.legends[0].get_texts()]
    assert legend == ["small", "large (GELU)", "dotted: certified dead"]
    pictures.assert_texts_fit(canvas)


def test_layers_without_live_neurons_have_no_frequency():
    studies = {"dead": section(100), "live": section(0)}
    canvas = activation.activation_frequency(studies, looks(studies))
    dead, live = canvas.axes[0].lines
    assert np.isnan(dead.get_ydata()).all()
    np.testing.assert_allclose(live.get_ydata(), 10)

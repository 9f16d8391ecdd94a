"""Figure 1 of the paper: dead neurons, and how often the others fire, by depth.

In: section `activation` of the summaries of one or several studies. Out: figures.
"""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from jaxneurons.figures import style

Layer = Mapping[str, Any]


def dead_neurons(studies: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Figure 1a: share of neurons that never fire, by relative depth; certified ones dotted."""
    canvas, axis = _lines_by_depth(
        studies, lambda layer: 100 * layer["dead_share"], "dead neurons, %"
    )
    for index, (name, activation) in enumerate(studies.items()):
        if activation["certified_dead"]:
            axis.plot(
                _depths(activation),
                [100 * layer["certified_dead_share"] for layer in activation["layers"]],
                color=style.line_style(index)["color"],
                linestyle=":",
                label=f"{name}: certified",
            )
    axis.set_ylim(bottom=0)
    style.legend_below(canvas, axis)
    return canvas


def activation_frequency(studies: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Figure 1b: mean activation frequency of the neurons that are not dead, by relative depth."""

    def frequency(layer: Layer) -> float:
        mean = layer["mean_frequency_alive"]
        return float("nan") if mean is None else 100 * mean

    canvas, axis = _lines_by_depth(
        studies, frequency, "mean activation frequency\nof alive neurons, %"
    )
    axis.set_ylim(bottom=0)
    style.legend_below(canvas, axis)
    return canvas


def _lines_by_depth(
    studies: Mapping[str, Mapping[str, Any]],
    value: Callable[[Layer], float],
    label: str,
) -> tuple[Figure, Any]:
    canvas, axes = style.new_figure(width=4.2, height=3.2)
    axis = axes[0, 0]
    for index, (name, activation) in enumerate(studies.items()):
        values = [value(layer) for layer in activation["layers"]]
        axis.plot(
            _depths(activation),
            values,
            markersize=4,
            label=name,
            **style.line_style(index),
        )
    axis.set_xlim(0, 1)
    axis.set_xlabel("relative depth of the layer")
    axis.set_ylabel(label)
    return canvas, axis


def _depths(activation: Mapping[str, Any]) -> list[float]:
    """Relative depth of each layer studied: 0 is the model's input, 1 its output."""
    return [
        (layer["layer"] + 0.5) / activation["model_layers"]
        for layer in activation["layers"]
    ]

"""Lines over relative depth: they compare models of different depth (paper Figures 1, 3 and 14).

In: a section of the summaries of one or several studies, and how large each model is. Out: lines,
and how those of each study look.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, colormaps, lines

from jaxneurons.figures import style

MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
# With more layers than this only some of them are marked.
MARKED_LAYERS = 24
MARKS = 8
# The part of the colour map that stands out from white by 3:1.
LIGHTEST = 0.65

Looks = Mapping[str, Mapping[str, Any]]


def looks(models: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Colour and marker per study; where all models differ in size, the larger the darker.

    Args:
        models: section `model` of each study's summary.
    """
    sizes = [model["layers"] * model["neurons"] for model in models.values()]
    colors: Sequence[Any] = style.PALETTE
    if len(set(sizes)) == len(sizes) > 2:
        shades = np.linspace(LIGHTEST, 0, len(sizes))
        colors = [*colormaps["plasma"](shades[np.argsort(np.argsort(sizes))])]
    return {
        name: {
            "color": colors[index % len(colors)],
            "marker": MARKERS[index % len(MARKERS)],
            "markersize": 4,
        }
        for index, name in enumerate(models)
    }


def plot(
    panel: axes.Axes,
    section: Mapping[str, Any],
    values: Sequence[float],
    **look: Any,
) -> None:
    """A line of one value per layer of a section; 0 is the model's input, 1 its output."""
    rows = section["layers"]
    depths = [(row["layer"] + 0.5) / section["model_layers"] for row in rows]
    if len(rows) > MARKED_LAYERS:
        look = {"markevery": -(-len(rows) // MARKS)} | look
    panel.plot(depths, values, **look)
    panel.set(xlim=(0, 1), xlabel="relative depth of the layer")


def sample(linestyle: str) -> lines.Line2D:
    """What a legend shows for a kind of line."""
    return lines.Line2D([], [], color="black", linestyle=linestyle)

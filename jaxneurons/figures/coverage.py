"""How many n-grams neurons respond to (paper Figures 2, 12 and 13, for n = 1, 2, 3).

In: `summary["ngrams"][n]` of one or several studies, all of one n, by name. Out: a figure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import axes, colormaps, figure

from jaxneurons.figures import glyphs, style

TERMS = {1: "token", 2: "bigram", 3: "trigram"}
# The class of neurons that fire on no n-gram, outside the sequence of the others.
NO_NGRAM = "0"
NO_NGRAM_COLOR = "0.75"
# The part of the colour map that is neither black nor fades on white.
DARKEST, LIGHTEST = 1.0, 0.2

Studies = Mapping[str, Mapping[str, Any]]


def first_half(section: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of the layers studied that lie in the first half of the model."""
    half = (section["model_layers"] + 1) // 2
    return [row for row in section["layers"] if row["layer"] < half]


def has_alive(section: Mapping[str, Any]) -> bool:
    """Whether there is a neuron to show."""
    return any(row["alive"] for row in first_half(section))


@style.settings()
def coverage_classes(studies: Studies) -> figure.Figure:
    """Figures 2, 12, 13: alive neurons of the first half by how many n-grams cover them.

    Each study has some, as `has_alive` says.
    """
    canvas, panels = style.panels(list(studies))
    handles: dict[str, Any] = {}
    for panel, section in zip(panels, studies.values(), strict=True):
        handles |= _stack_classes(panel, section)
        layers = f"layer (first half of {section['model_layers']})"
        panel.set(ylim=(0, 100), xlabel=layers)
    style.label_left(panels, "alive neurons, %")
    section = next(iter(studies.values()))
    term = TERMS[section["n"]]
    share = f"{100 * section['coverage_share']:.6g} %"
    labels = [
        f"0: fires on no {term}" if label == NO_NGRAM else label.replace("-", "–")
        for label in handles
    ]
    title = f"Number of {term}s that cover {share} of a neuron's activations"
    style.legend(canvas, list(handles.values()), labels, title)
    return style.lay_out(canvas)


def _stack_classes(panel: axes.Axes, section: Mapping[str, Any]) -> dict[str, Any]:
    """A bar per layer, the class of fewest n-grams at the bottom; gives the bars by class."""
    rows, classes = first_half(section), section["coverage_classes"]
    covered = [label for label in classes if label != NO_NGRAM]
    shades = colormaps["Blues"](np.linspace(DARKEST, LIGHTEST, len(covered)))
    colors = dict(zip(covered, shades, strict=True)) | {NO_NGRAM: NO_NGRAM_COLOR}
    layers = [row["layer"] for row in rows]
    bottom = np.zeros(len(rows))
    drawn = {}
    for label, color in colors.items():
        shares = [row["coverage_shares"] for row in rows]
        index = classes.index(label)
        heights = np.array([100 * share[index] if share else 0 for share in shares])
        drawn[label] = style.bars(panel, layers, heights, bottom, color)
        bottom += heights
    for row in rows:
        if not row["alive"]:
            _say_none_alive(panel, row["layer"])
    return drawn


def _say_none_alive(panel: axes.Axes, layer: int) -> None:
    panel.text(
        layer,
        50,
        "none alive",
        rotation=90,
        ha="center",
        va="center",
        fontsize=glyphs.SMALL - 2,
    )

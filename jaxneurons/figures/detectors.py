"""Which layers detect n-grams, and how they share them out (paper Figures 3, 4, 14 and 15).

In: `summary["ngrams"][n]` of one or several studies, all of one n, by name. Out: figures. With
n = 1 they are the paper's Figures 3 and 4, with n = 3 Figures 14 and 15.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import axes, figure

from jaxneurons.figures import coverage, depth, style

# Bars inside bars: key of a row, meaning, colour.
NESTED = (
    ("ngrams", "all", "0.85"),
    ("new_against_previous", "new against the layer just below", "#9ECAE1"),
    ("new_overall", "new against all layers below", "#08519C"),
)

Studies = Mapping[str, Mapping[str, Any]]


def has_detectors(section: Mapping[str, Any]) -> bool:
    """Whether there is a detector to show."""
    return any(row["detectors"] for row in section["layers"])


@style.settings()
def detector_counts(studies: Studies, looks: depth.Looks) -> figure.Figure:
    """Figures 3, 14: (a) detectors per layer; (b) n-grams they detect, per layer and cumulative."""
    canvas, grid = style.new_figure(columns=2, width=4, height=3.0)
    detectors, detected = grid[0]
    term = _term(studies)
    detectors.set(title="(a)", ylabel=f"{term} detectors per layer")
    detected.set(title="(b)", ylabel=f"different {term}s detected")
    for name, section in studies.items():
        for panel, key, linestyle in (
            (detectors, "detectors", "-"),
            (detected, "ngrams", "-"),
            (detected, "cumulative", "--"),
        ):
            values = [row[key] for row in section["layers"]]
            depth.plot(panel, section, values, linestyle=linestyle, **looks[name])
    for panel in (detectors, detected):
        style.count_axis(panel)
    handles = [*detectors.lines, depth.sample("-"), depth.sample("--")]
    labels = [*studies, "solid: per layer", "dashed: cumulative"]
    style.legend(canvas, handles, labels)
    return style.lay_out(canvas)


@style.settings()
def new_ngrams(studies: Studies) -> figure.Figure:
    """Figures 4, 15: n-grams detected per layer, and how many of them layers below do not detect.

    Each study has some, as `has_detectors` says.
    """
    canvas, panels = style.panels(list(studies))
    for panel, section in zip(panels, studies.values(), strict=True):
        handles = _nest_new(panel, section)
        panel.set_xlabel("layer")
        style.count_axis(panel)
    style.label_left(panels, f"different {_term(studies)}s detected")
    differ = len({panel.get_ylim() for panel in panels}) > 1
    title = "The vertical scales differ from panel to panel." if differ else ""
    style.legend(canvas, handles, [label for _, label, _ in NESTED], title)
    return style.lay_out(canvas)


def _nest_new(panel: axes.Axes, section: Mapping[str, Any]) -> list[Any]:
    """What is new overall is part of what is new against the layer just below."""
    rows = section["layers"]
    layers = [row["layer"] for row in rows]
    drawn = []
    for key, _, color in NESTED:
        # An unknown number (the layer below was not analyzed) has no bar.
        heights = np.array([row[key] for row in rows], np.float64)
        drawn.append(style.bars(panel, layers, heights, 0, color))
    return drawn


def _term(studies: Studies) -> str:
    return coverage.TERMS[next(iter(studies.values()))["n"]]

"""How many n-grams neurons respond to, and which layers detect n-grams (paper Figures 2-4 and 12-15).

In: `summary["ngrams"][n]` of one or several studies, all of one n, by name. Out: figures. With n = 1 they are
the paper's Figures 2, 3 and 4; with n = 2, Figure 12; with n = 3, Figures 13, 14 and 15.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, colormaps, figure, lines, ticker

from jaxneurons.figures import glyphs, style

TERMS = {1: "token", 2: "bigram", 3: "trigram"}
# Dense hatches on what is covered by few n-grams; no two neighbours alike.
HATCHES = ["", "....", "////", "xxxx", "\\\\\\\\", ""]
PANELS_A_ROW = 4

Studies = Mapping[str, Mapping[str, Any]]


def coverage_classes(studies: Studies) -> figure.Figure:
    """Figures 2, 12, 13: alive neurons of the first half by how many n-grams cover them."""
    canvas, panels = _panels(studies)
    term, share = _term(studies), next(iter(studies.values()))["coverage_share"]
    drawn = None
    for panel, section in zip(panels, studies.values(), strict=True):
        panel.set(ylim=(0, 100), xlabel="layer", ylabel="alive neurons, %")
        half = (section["model_layers"] + 1) // 2
        rows = [row for row in section["layers"] if row["layer"] < half]
        if any(row["alive"] for row in rows):
            _stack_classes(panel, rows, section["coverage_classes"])
            drawn = panel
        else:
            what = "alive neuron" if rows else "layer analyzed"
            _say(panel, f"no {what}\nin the first half")
    if drawn:
        title = f"number of {term}s that cover {100 * share:.6g} % of a neuron's activations"
        _legend(canvas, *drawn.get_legend_handles_labels(), title)
    return canvas


def detector_counts(studies: Studies) -> figure.Figure:
    """Figures 3, 14: (a) detectors a layer; (b) n-grams they detect, a layer and cumulative."""
    canvas, grid = style.new_figure(columns=2, width=4, height=3.3)
    detectors, detected = grid[0]
    term = _term(studies)
    detectors.set_title(f"(a) {term} detectors", fontsize=style.FONT_SIZE)
    detected.set_title(f"(b) detected {term}s", fontsize=style.FONT_SIZE)
    if not _any_detector(*studies.values()):
        _say(detectors, f"no {term} detectors")
        _say(detected, f"no detected {term}s")
        return canvas
    for index, (name, section) in enumerate(studies.items()):
        look = {**style.line_style(index), "markersize": 4, "label": name}
        look["markevery"] = max(1, len(section["layers"]) // 8)
        look["linestyle"] = "-"
        detectors.plot(*_by_depth(section, "detectors"), **look)
        detected.plot(*_by_depth(section, "ngrams"), **look)
        look["linestyle"] = "--"
        detected.plot(*_by_depth(section, "cumulative"), **look)
    for panel in (detectors, detected):
        panel.set(xlim=(0, 1), xlabel="relative depth of the layer")
        _count_axis(panel)
    _legend(canvas, *_line_handles(detectors))
    return canvas


def new_ngrams(studies: Studies) -> figure.Figure:
    """Figures 4, 15: detected n-grams a layer, and how many of them layers below do not detect."""
    canvas, panels = _panels(studies)
    term = _term(studies)
    drawn = None
    for panel, section in zip(panels, studies.values(), strict=True):
        panel.set(xlabel="layer", ylabel=f"detected {term}s")
        if _any_detector(section):
            _nest_new(panel, section["layers"])
            _count_axis(panel)
            drawn = panel
        else:
            _say(panel, f"no {term} detectors")
    if drawn:
        _legend(canvas, *drawn.get_legend_handles_labels())
    return canvas


def _by_depth(section: Mapping[str, Any], key: str) -> tuple[list[float], list[int]]:
    """Relative depths of the layers, 0 the model's input and 1 its output, and a value of each."""
    rows = section["layers"]
    depths = [(row["layer"] + 0.5) / section["model_layers"] for row in rows]
    return depths, [row[key] for row in rows]


def _stack_classes(
    panel: axes.Axes, rows: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> None:
    """A bar a layer, the class of fewest n-grams at the bottom; darker means fewer."""
    layers = [row["layer"] for row in rows]
    colors = colormaps["cividis"](np.linspace(0, 1, len(classes)))
    bottom = np.zeros(len(rows))
    for index, label in enumerate(classes):
        shares = [(row["coverage_shares"] or [0] * len(classes)) for row in rows]
        heights = np.array([100 * share[index] for share in shares])
        panel.bar(
            layers,
            heights,
            bottom=bottom,
            width=0.9,
            color=colors[index],
            hatch=HATCHES[index],
            edgecolor="white" if index < len(classes) / 2 else "black",
            linewidth=0.3,
            label=label,
        )
        bottom += heights
    for row in rows:
        if not row["alive"]:
            panel.text(
                row["layer"],
                50,
                "none alive",
                rotation=90,
                ha="center",
                va="center",
                fontsize=style.FONT_SIZE - 3,
            )
    _whole_layers(panel, layers)


def _nest_new(panel: axes.Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bars inside bars: what is new overall is part of what is new against the layer just below."""
    layers = [row["layer"] for row in rows]
    for key, label, color, hatch in (
        ("ngrams", "all", "0.85", ""),
        ("new_against_previous", "new against the layer just below", "#56B4E9", "////"),
        ("new_overall", "new against all layers below", "#0072B2", ""),
    ):
        # An unknown number (the layer below was not analyzed) has no bar.
        heights = [float("nan") if row[key] is None else row[key] for row in rows]
        panel.bar(
            layers,
            heights,
            width=0.9,
            color=color,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.3,
            label=label,
        )
    _whole_layers(panel, layers)


def _panels(studies: Studies) -> tuple[figure.Figure, list[axes.Axes]]:
    """A panel a study, titled with its name, at most PANELS_A_ROW side by side."""
    columns = min(len(studies), PANELS_A_ROW)
    rows = math.ceil(len(studies) / columns)
    width = max(2.8, 4.8 / columns)
    canvas, grid = style.new_figure(rows, columns, width=width)
    for panel, name in zip(grid.flat, studies, strict=False):
        title = glyphs.shortened(name, 0.9 * width)
        panel.set_title(title, fontsize=style.FONT_SIZE, parse_math=False)
    for unused in grid.flat[len(studies) :]:
        unused.remove()
    return canvas, list(grid.flat[: len(studies)])


def _term(studies: Studies) -> str:
    return TERMS[next(iter(studies.values()))["n"]]


def _any_detector(*sections: Mapping[str, Any]) -> bool:
    return any(row["detectors"] for section in sections for row in section["layers"])


def _whole_layers(panel: axes.Axes, layers: Sequence[int]) -> None:
    panel.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
    panel.xaxis.set_major_locator(_whole_numbers())


def _count_axis(panel: axes.Axes) -> None:
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_locator(_whole_numbers())


def _whole_numbers() -> ticker.MaxNLocator:
    return ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def _say(panel: axes.Axes, words: str) -> None:
    """Words in place of a plot."""
    panel.set_axis_off()
    panel.text(
        0.5,
        0.5,
        words,
        transform=panel.transAxes,
        ha="center",
        va="center",
        fontsize=style.FONT_SIZE,
    )


def _line_handles(panel: axes.Axes) -> tuple[list[Any], list[str]]:
    """The studies' lines, and what solid and dashed mean."""
    handles, labels = panel.get_legend_handles_labels()
    solid = lines.Line2D([], [], color="black", linestyle="-")
    dashed = lines.Line2D([], [], color="black", linestyle="--")
    return [*handles, solid, dashed], [*labels, "per layer", "cumulative"]


def _legend(
    canvas: figure.Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    title: str = "",
) -> None:
    # In points: a label, five a letter, and its handle.
    widest = 5 * max(map(len, labels)) + 45
    canvas.legend(
        handles,
        [glyphs.printable(label) for label in labels],
        title=title or None,
        loc="outside lower center",
        ncols=min(len(labels), max(1, int(72 * canvas.get_figwidth() // widest))),
        fontsize=style.FONT_SIZE - 1,
        title_fontsize=style.FONT_SIZE - 1,
        frameon=False,
    )

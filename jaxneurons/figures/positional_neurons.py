"""Figures 8, 10, 11 and 16 of the paper: every positional neuron of one or several models.

In: section `positions` of the summaries of one or several studies. Out: a figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes, figure, lines, ticker

from jaxneurons.figures import position_style, style

# Inches: what a printed page holds, and what the legend needs in two columns.
PAGE_WIDTH = 12.0
LEGEND_WIDTH = 4.3
# Points: the largest mark; shares: of its cell that a mark fills, of a layer's room that a row fills.
LARGEST_MARK = 9.0
MARK_SHARE = 0.85
COLUMN_SHARE = 0.9
HEADROOM = 1.05
POINTS_PER_INCH = 72


def positional_neurons(studies: Mapping[str, Mapping[str, Any]]) -> figure.Figure:
    """Figures 8, 10, 11 and 16: a mark a positional neuron, stacked layer by layer."""
    highest = max(
        layer["positional"]
        for positions in studies.values()
        for layer in positions["layers"]
    )
    layers = max(len(positions["layers"]) for positions in studies.values())
    narrowest, widest = (LEGEND_WIDTH, 1) if len(studies) == 1 else (3.0, 2)
    width = min(max(narrowest, 0.14 * layers), PAGE_WIDTH / widest)
    columns = min(len(studies), int(PAGE_WIDTH // width))
    canvas, grid = style.new_figure(
        -(-len(studies) // columns), columns, width=width, height=2.9
    )
    for spare in grid.flat[len(studies) :]:
        spare.remove()
    panels = grid.flat[: len(studies)]
    for panel, (name, positions) in zip(panels, studies.items(), strict=True):
        numbers = [layer["layer"] for layer in positions["layers"]]
        panel.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
        panel.set_ylim(0, max(highest, 1) * HEADROOM)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        panel.set_title(name, fontsize=style.FONT_SIZE)
        panel.set_xlabel("layer")
    for panel in grid[:, 0]:
        panel.set_ylabel("positional neurons")
    _add_type_legend(canvas)
    # The room for a mark is known only once the panels have been laid out.
    canvas.draw_without_rendering()
    for panel, positions in zip(panels, studies.values(), strict=True):
        _stack_marks(panel, positions["layers"], max(highest, 1), canvas.dpi)
    return canvas


def _stack_marks(
    panel: axes.Axes, layers: Sequence[Mapping[str, Any]], highest: int, dpi: float
) -> None:
    """Draws each layer's neurons from the bottom up, several a row where they are many.

    A row of n marks is n neurons high, so that the axis counts neurons whatever n is.
    """
    if not any(layer["positional"] for layer in layers):
        position_style.write(panel, "no positional neurons")
        return
    a_row, size = _fit_marks(panel, highest, dpi)
    for kind, strength in position_style.KINDS:
        places = [
            place for layer in layers for place in _places(layer, kind, strength, a_row)
        ]
        panel.scatter(
            [x for x, _ in places],
            [y for _, y in places],
            s=(size * position_style.MARK_SCALES[kind]) ** 2,
            marker=position_style.TYPE_MARKERS[kind],
            facecolor=position_style.face(kind, strength),
            edgecolor=position_style.edge(kind),
            linewidth=min(0.7, 0.1 * size),
            # The topmost row may be a part of one, and stand higher than it counts.
            clip_on=False,
        )


def _fit_marks(panel: axes.Axes, highest: int, dpi: float) -> tuple[int, float]:
    """How many marks a row of a layer's stack takes, and their size in points, as large as can be."""
    points = POINTS_PER_INCH / dpi
    room = panel.get_window_extent()
    left, right = panel.get_xlim()
    column = COLUMN_SHARE * points * room.width / (right - left)
    neuron = points * room.height / panel.get_ylim()[1]

    def cell(a_row: int) -> float:
        return min(column / a_row, a_row * neuron)

    a_row = max(range(1, highest + 1), key=cell)
    return a_row, min(LARGEST_MARK, MARK_SHARE * cell(a_row))


def _places(
    layer: Mapping[str, Any], kind: str, strength: str, a_row: int
) -> list[tuple[float, float]]:
    """Where the marks of one type and strength stand in their layer's stack, x and y."""
    stack = [
        (one, other)
        for one, other in position_style.KINDS
        for _ in range(layer["counts"][one][other])
    ]
    return [
        (
            layer["layer"] + COLUMN_SHARE * ((mark % a_row + 0.5) / a_row - 0.5),
            a_row * (mark // a_row + 0.5),
        )
        for mark, stacked in enumerate(stack)
        if stacked == (kind, strength)
    ]


def _add_type_legend(canvas: figure.Figure) -> None:
    handles = [
        lines.Line2D(
            [],
            [],
            linestyle="",
            marker=position_style.TYPE_MARKERS[kind],
            markerfacecolor=position_style.face(kind, strength),
            markeredgecolor=position_style.edge(kind),
            markersize=7 * position_style.MARK_SCALES[kind],
            label=f"{position_style.TYPE_TITLES[kind]}, {strength}",
        )
        for kind, strength in position_style.KINDS
    ]
    canvas.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if canvas.get_figwidth() > 2 * LEGEND_WIDTH else 2,
        fontsize=style.FONT_SIZE - 1,
        frameon=False,
    )

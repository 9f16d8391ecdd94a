"""Figures 8, 10, 11 and 16 of the paper: every positional neuron of one or several models.

In: section `positions` of the summaries of one or several studies. Out: a figure.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import axes, figure, lines, ticker

from jaxneurons import terms
from jaxneurons.figures import position_style, style

# Inches: what a legend in two columns needs, and what one in four does.
LEGEND_WIDTH = 4.3
# Points: the largest mark. Shares: of its cell that a mark fills, of its layer that a row fills.
LARGEST_MARK = 9.0
MARK_SHARE = 0.85
COLUMN_SHARE = 0.9
HEADROOM = 1.05
POINTS_PER_INCH = 72
# Ticks of the vertical axis, at most.
TICKS = 7

Studies = Mapping[str, Mapping[str, Any]]


class Stack(NamedTuple):
    """How marks are stacked, the same in all panels.

    Attributes:
        per_row: marks in a row, which is as many neurons high, so that the axis counts neurons.
        size: of a mark, in points.
        top: what the axis reaches, in neurons.
        tick: neurons between ticks, which stand where rows end.
    """

    per_row: int
    size: float
    top: float
    tick: int


@style.settings()
def positional_neurons(studies: Studies) -> figure.Figure:
    """Figures 8, 10, 11 and 16: a mark per positional neuron, stacked layer by layer.

    Some study has one, as `positions.has_positional` says.
    """
    rows = [row for section in studies.values() for row in section["layers"]]
    highest = max(row["positional"] for row in rows)
    layers = max(len(section["layers"]) for section in studies.values())
    narrowest, widest = (LEGEND_WIDTH, 1) if len(studies) == 1 else (3.0, 2)
    width = min(max(narrowest, 0.14 * layers), style.PAGE / widest)
    canvas, panels = style.panels(list(studies), width, height=2.6)
    for panel, section in zip(panels, studies.values(), strict=True):
        numbers = [layer["layer"] for layer in section["layers"]]
        panel.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
        panel.xaxis.set_major_locator(style.whole_numbers())
        panel.set(xlabel="layer", ylim=(0, highest))
        style.count_axis(panel)
    style.label_left(panels, "positional neurons")
    _add_type_legend(canvas)
    # The room for a mark is known only once the panels have been laid out.
    style.lay_out(canvas)
    stack = _fit_marks(panels, highest, POINTS_PER_INCH / canvas.dpi)
    for panel, section in zip(panels, studies.values(), strict=True):
        _draw_marks(panel, section["layers"], stack)
    return canvas


def _fit_marks(panels: Sequence[axes.Axes], highest: int, points: float) -> Stack:
    """The stack of the largest marks; points: in a pixel."""
    column = COLUMN_SHARE * points * min(map(_layer_width, panels))
    height = points * panels[0].get_window_extent().height

    def size(per_row: int) -> float:
        cell = min(column / per_row, height / HEADROOM / -(-highest // per_row))
        return min(LARGEST_MARK, MARK_SHARE * cell)

    numbers = itertools.takewhile(lambda n: n < 10 * highest, _round_numbers())
    per_row = max(numbers, key=size)
    top = HEADROOM * per_row * -(-highest // per_row)
    tick = next(n for n in _round_numbers() if n % per_row == 0 and n * TICKS >= top)
    return Stack(per_row, size(per_row), top, tick)


def _layer_width(panel: axes.Axes) -> float:
    """Pixels that a layer has across."""
    left, right = panel.get_xlim()
    return panel.get_window_extent().width / (right - left)


def _draw_marks(
    panel: axes.Axes, layers: Sequence[Mapping[str, Any]], stack: Stack
) -> None:
    """Draws each layer's neurons from the bottom up."""
    panel.set_ylim(0, stack.top)
    panel.yaxis.set_major_locator(ticker.MultipleLocator(stack.tick))
    for kind, strength in position_style.KINDS:
        places = [
            place
            for layer in layers
            for place in _places(layer, kind, strength, stack.per_row)
        ]
        panel.scatter(
            [x for x, _ in places],
            [y for _, y in places],
            s=(stack.size * position_style.MARK_SCALES[kind]) ** 2,
            marker=position_style.TYPE_MARKERS[kind],
            facecolor=position_style.face(kind, strength),
            edgecolor=position_style.edge(kind),
            linewidth=min(0.7, 0.1 * stack.size),
            clip_on=False,
        )


def _round_numbers() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50 …: each but 5 is a multiple of the one before."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _places(
    layer: Mapping[str, Any], kind: str, strength: str, per_row: int
) -> list[tuple[float, float]]:
    """Where the marks of one type and strength stand in their layer's stack, x and y."""
    stack = [
        (one, other)
        for one, other in position_style.KINDS
        for _ in range(layer["counts"][one][other])
    ]
    return [
        (
            layer["layer"] + COLUMN_SHARE * ((mark % per_row + 0.5) / per_row - 0.5),
            per_row * (mark // per_row + 0.5),
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
        )
        for kind, strength in position_style.KINDS
    ]
    titles = [
        f"{position_style.TYPE_TITLES[kind]}, {strength}"
        for kind, strength in position_style.KINDS
    ]
    strengths = len(terms.STRENGTHS)
    style.legend(canvas, handles, titles, together=strengths)

"""The look that all figures share: colours for the colour-blind too, sizes that hold in print.

In: a grid size. Out: an empty Matplotlib figure, and what is drawn on it as a file. Everything
between is done under `settings`, so that neither the user's Matplotlib settings nor markup in names
change a byte.
"""

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import (
    axes,
    collections,
    figure,
    layout_engine,
    rc_context,
    rcParamsDefault,
    ticker,
)
from matplotlib.backends import backend_agg, backend_svg

from jaxneurons.figures import glyphs

# Okabe & Ito (2008), "Color Universal Design", without the yellow, which fades on white.
PALETTE = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
]
GREY = "0.4"
# Inches: the width of a page, what a legend puts beside a label, and the height of its lines.
PAGE = 12.0
LEGEND_HANDLE = 0.6
LINE = 0.17
# The width of a bar, where 1 would touch the next.
BAR = 0.88
DOTS_PER_INCH = 200

_CANVASES = {
    "png": backend_agg.FigureCanvasAgg,
    "svg": backend_svg.FigureCanvasSVG,
}
_LOOK = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelsize": glyphs.SIZE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": glyphs.SIZE,
    # At a fixed height: to find a free one takes a quarter of the time.
    "axes.titley": 1.0,
    "font.size": glyphs.SIZE,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.fontsize": glyphs.SMALL,
    "legend.frameon": False,
    "legend.title_fontsize": glyphs.SMALL,
    # In SVG text stays text, and ids do not change from run to run.
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxneurons",
    # Names and tokens hold dollar signs, which are no formulas here.
    "text.parse_math": False,
    "xtick.labelsize": glyphs.SMALL,
    "ytick.labelsize": glyphs.SMALL,
}


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """While it lasts, Matplotlib's own defaults and the look of these figures hold, not the user's.

    Also a decorator: `@settings()`.
    """
    # To set the backend would start one.
    defaults = {k: v for k, v in rcParamsDefault.items() if k != "backend"}
    with rc_context(defaults | _LOOK):
        yield


def new_figure(
    rows: int = 1, columns: int = 1, width: float = 3.6, height: float = 2.7
) -> tuple[figure.Figure, np.ndarray]:
    """An empty figure and its axes, [rows, columns]; width and height in inches of one panel."""
    canvas = figure.Figure(figsize=(columns * width, rows * height))
    backend_agg.FigureCanvasAgg(canvas)
    return canvas, canvas.subplots(rows, columns, squeeze=False)


def panels(
    names: Sequence[str], width: float | None = None, height: float = 2.5
) -> tuple[figure.Figure, list[axes.Axes]]:
    """A panel per study, titled with its name, as many side by side as a page holds.

    Without a width a panel is a quarter of the page wide, and more if it is the only one.
    """
    width = width or (5.4 if len(names) == 1 else PAGE / 4)
    columns = min(len(names), int(PAGE / width))
    canvas, grid = new_figure(-(-len(names) // columns), columns, width, height)
    for panel, name in zip(grid.flat, names, strict=False):
        panel.set_title(glyphs.shortened(name, 0.9 * width))
    for spare in grid.flat[len(names) :]:
        spare.remove()
    return canvas, list(grid.flat[: len(names)])


def label_left(drawn: Sequence[axes.Axes], label: str) -> None:
    """Labels the vertical axis of the leftmost panels."""
    for panel in drawn:
        place = panel.get_subplotspec()
        if place and place.is_first_col():
            panel.set_ylabel(label)


def bars(
    panel: axes.Axes,
    layers: Sequence[int],
    heights: np.ndarray,
    bottom: np.ndarray | float,
    color: Any,
) -> Any:
    """A bar per layer, with a thin white gap to the next; none where the height is NaN."""
    panel.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
    panel.xaxis.set_major_locator(whole_numbers())
    known = ~np.isnan(heights)
    left, height = np.array(layers)[known] - BAR / 2, heights[known]
    low = np.broadcast_to(bottom, heights.shape)[known]
    corners = [[left, low], [left, low + height]]
    corners += [[left + BAR, low + height], [left + BAR, low]]
    # One artist for all bars takes a tenth of the time of one each.
    drawn = collections.PolyCollection(
        [*np.transpose(corners, (2, 0, 1))], facecolor=color, linewidth=0
    )
    panel.add_collection(drawn)
    panel.autoscale_view(scalex=False)
    return drawn


def count_axis(panel: axes.Axes) -> None:
    """Makes the vertical axis one of whole numbers from 0."""
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_locator(whole_numbers())
    panel.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))


def whole_numbers() -> ticker.MaxNLocator:
    """Where the ticks of an axis of whole numbers stand."""
    return ticker.MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def legend(
    canvas: figure.Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    title: str = "",
    together: int = 1,
) -> None:
    """A legend under the panels, where it can cover nothing, in as many columns as fit.

    together: how many labels, one after the other, no column may part.
    """
    room = canvas.get_figwidth() - 0.2
    # Older versions of Matplotlib leave out a label that begins with an underscore.
    shown = [
        glyphs.shortened(
            f" {label}" if label.startswith("_") else label,
            room - LEGEND_HANDLE,
            glyphs.SMALL,
        )
        for label in labels
    ]
    widest = LEGEND_HANDLE + max(
        glyphs.inches(label, glyphs.SMALL, "normal") for label in shown
    )
    groups = math.ceil(len(shown) / together)
    rows = together * math.ceil(groups / max(1, room // widest))
    heading = glyphs.wrapped(title, room, glyphs.SMALL) if title else []
    canvas.legend(
        handles,
        shown,
        title="\n".join(heading) or None,
        loc="outside lower center",
        ncols=math.ceil(len(shown) / rows),
    )
    _add_height(canvas, rows + len(heading))


def note(canvas: figure.Figure, text: str) -> None:
    """A sentence in small print under the panels of a figure without a legend."""
    lines = glyphs.wrapped(text, canvas.get_figwidth() - 0.2, glyphs.SMALL)
    canvas.supxlabel("\n".join(lines), fontsize=glyphs.SMALL, color=GREY)
    _add_height(canvas, len(lines))


def _add_height(canvas: figure.Figure, lines: int) -> None:
    """Makes room for lines of small print, which would take it from the panels."""
    canvas.set_figheight(canvas.get_figheight() + LINE * lines)


def lay_out(canvas: figure.Figure) -> figure.Figure:
    """Places the panels and what is around them, once for all files; gives the figure back."""
    layout_engine.ConstrainedLayoutEngine().execute(canvas)
    return canvas


@settings()
def render(canvas: figure.Figure, suffix: str) -> bytes:
    """The figure as a file of a type, "png" or "svg"; the same bytes for the same figure."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else None
    _CANVASES[suffix](canvas).print_figure(
        buffer, format=suffix, dpi=DOTS_PER_INCH, metadata=metadata
    )
    return buffer.getvalue()

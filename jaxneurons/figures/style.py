"""The look that all figures share: colours told apart by the colour-blind, sizes that hold in print.

In: a grid size. Out: an empty Matplotlib figure that depends on no global state.
"""

import io

import numpy as np
from matplotlib import axes, figure, rc_context

# Okabe & Ito (2008), "Color Universal Design"; yellow last, since it fades on white.
PALETTE = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#F0E442",
]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
LINE_STYLES = ["-", "--", "-.", ":"]

FONT_SIZE = 9
# Text stays text in SVG, and ids and dates do not change from run to run.
SAVE_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "jaxneurons"}


def new_figure(
    rows: int = 1, columns: int = 1, width: float = 3.6, height: float = 2.7
) -> tuple[figure.Figure, np.ndarray]:
    """An empty figure and its axes, [rows, columns]; width and height in inches of one panel."""
    with rc_context({"font.size": FONT_SIZE}):
        canvas = figure.Figure(
            figsize=(columns * width, rows * height), layout="constrained"
        )
        grid = canvas.subplots(rows, columns, squeeze=False)
    for axis in grid.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
    return canvas, grid


def line_style(index: int) -> dict[str, str]:
    """Colour, marker and dashes of the index-th line: any two differ by more than colour."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINE_STYLES[index // len(PALETTE) % len(LINE_STYLES)],
    }


def legend_below(canvas: figure.Figure, axis: axes.Axes) -> None:
    """A legend under the plot, where it can cover nothing."""
    handles, labels = axis.get_legend_handles_labels()
    canvas.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(3, len(labels)),
        fontsize=FONT_SIZE - 1,
        frameon=False,
    )


def render(canvas: figure.Figure, suffix: str) -> bytes:
    """The figure as a file of a type, "png" or "svg"; the same bytes for the same figure."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else None
    with rc_context(SAVE_SETTINGS):
        canvas.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
    return buffer.getvalue()

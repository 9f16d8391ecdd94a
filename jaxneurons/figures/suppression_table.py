"""Figure 5 of the paper as a picture.

In: the tables that `suppression` makes. Out: a figure, laid out in inches across and in lines down.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib import figure
from matplotlib.backends import backend_agg

from jaxneurons.figures import glyphs, style, suppression
from jaxneurons.figures.suppression import Entry

LABEL_INCHES = 1.3
COLUMN_INCHES = 2.3
NUMBER_INCHES = 0.75
GAP_INCHES = 0.07
LINE_INCHES = 0.17
MARGIN_INCHES = 0.1
# Room between a rule and the line above or below it, in lines.
PADDING = 0.3
# As in the paper: what is promoted is green, what is suppressed is red.
COLORS = {"Top promoted": "#1B7837", "Top suppressed": "#B2182B"}


class Words(NamedTuple):
    """Words at a place: x in inches, y in lines; or a rule across, where there are none."""

    y: float
    x: float = MARGIN_INCHES
    words: str = ""
    bold: bool = False
    color: str = "black"
    ha: str = "left"


@style.settings()
def token_suppression(studies: suppression.Studies) -> figure.Figure:
    """Figure 5: tables with a column per detector, of studies that have some."""
    tables = suppression.tables(studies)
    columns = max(len(table.headings) for shown in tables.values() for table in shown)
    width = LABEL_INCHES + COLUMN_INCHES * max(2, columns)
    placed: list[Words] = []
    y = 1.0
    for name, shown in tables.items():
        room = width - 2 * MARGIN_INCHES
        placed.append(Words(y, words=glyphs.shortened(name, room), bold=True))
        for line in glyphs.wrapped(suppression.overall(studies[name]), room):
            y += 1
            placed.append(Words(y, words=line))
        for table in shown:
            y += 1.5
            placed += _table(table, y)
            y = placed[-1].y + 1.5
        y += 0.5
    return _draw(placed, width, y)


def _table(table: suppression.Table, y: float) -> Iterator[Words]:
    starts = [LABEL_INCHES + COLUMN_INCHES * i for i in range(len(table.headings))]
    for start, heading in zip(starts, table.headings, strict=True):
        yield Words(y, start, heading, bold=True)
    y += 0.5 + PADDING
    for label, cells in table.rows.items():
        yield Words(y)
        y += 0.5 + PADDING
        yield Words(y, words=label)
        color = COLORS.get(label, "black")
        lines = [_lines(cell) for cell in cells]
        for start, cell in zip(starts, lines, strict=True):
            for index, entry in enumerate(cell):
                yield from _entry(entry, start, y + index, color)
        y += max(map(len, lines)) - 0.5 + PADDING
    yield Words(y)


def _entry(entry: Entry, x: float, y: float, color: str) -> Iterator[Words]:
    if entry.number:
        right = x + NUMBER_INCHES
        yield Words(y, right, entry.number, color=color, ha="right")
        x = right + GAP_INCHES
    if entry.words:
        yield Words(y, x, entry.words, entry.bold, color)


def _lines(cell: Sequence[Entry]) -> list[Entry]:
    """A line per token with its projection; tokens without one as a list, over lines."""
    if cell[0].number:
        room = COLUMN_INCHES - NUMBER_INCHES - 2 * GAP_INCHES
        return [
            entry._replace(words=glyphs.shortened(entry.words, room)) for entry in cell
        ]
    room = COLUMN_INCHES - GAP_INCHES
    words = [glyphs.shortened(one.words, room - glyphs.inches(",")) for one in cell]
    lines = [words[0]]
    for word in words[1:]:
        if glyphs.inches(f"{lines[-1]}, {word},") <= room:
            lines[-1] += f", {word}"
        else:
            lines[-1] += ","
            lines.append(word)
    return [Entry(line) for line in lines]


def _draw(placed: Sequence[Words], width: float, height: float) -> figure.Figure:
    canvas = figure.Figure(figsize=(width, LINE_INCHES * height))
    backend_agg.FigureCanvasAgg(canvas)
    panel = canvas.add_axes((0, 0, 1, 1))
    panel.set(xlim=(0, width), ylim=(height, 0))
    panel.axis("off")
    for y, x, words, bold, color, ha in placed:
        if words:
            weight = "bold" if bold else "normal"
            panel.text(x, y + 0.3, words, ha=ha, color=color, fontweight=weight)
        else:
            panel.plot([x, width - MARGIN_INCHES], [y, y], color="0.7", linewidth=0.6)
    return canvas

"""What token detectors promote and suppress, as a table to read (paper Figure 5).

In: `summary["suppression"]` of one or several studies, by name. Out: a figure, or the same table in Markdown.
Shown are the strongest detectors, those with most activations on their triggers. Tokens are vocabulary pieces
as the paper prints them: Ġ is a space before a word, Ċ a line break. Triggers are bold where they are promoted
or suppressed.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import axes, figure

from jaxneurons.figures import glyphs, style

LABEL_INCHES = 1.3
COLUMN_INCHES = 2.3
NUMBER_INCHES = 0.75
GAP_INCHES = 0.07
LINE_INCHES = 0.17
MOST_TRIGGERS = 12
NO_DETECTORS = "no token detectors"

Studies = Mapping[str, Mapping[str, Any]]


class Entry(NamedTuple):
    """A token in a cell, with its projection where the cell shows that; or words."""

    piece: str
    projection: float | None = None
    bold: bool = False
    is_token: bool = True


# A detector's column: its cells by the label of their row.
Column = dict[str, list[Entry]]


class Line(NamedTuple):
    """A drawn line of a cell: a number or nothing, and words."""

    number: str
    words: str
    bold: bool = False


def strongest_detectors(
    studies: Studies, columns: int = 4, tokens: int = 6
) -> figure.Figure:
    """Figure 5: a table a study, a column a detector.

    Args:
        columns: detectors of each study, at most; tokens: promoted ones, and as many suppressed ones.
    """
    tables = [
        {_heading(d): _column(d, tokens) for d in section["strongest"][:columns]}
        for section in studies.values()
    ]
    rows = [_rows(list(table.values())) for table in tables]
    # Two lines more for the name of the study and the headings, one between tables.
    heights = [LINE_INCHES * (4 + sum(map(_row_height, table))) for table in rows]
    width = LABEL_INCHES + COLUMN_INCHES * max(1, *map(len, tables), 1)
    canvas = figure.Figure(figsize=(width, sum(heights)))
    top = 1.0
    for name, table, cells, height in zip(studies, tables, rows, heights, strict=True):
        top -= height / sum(heights)
        panel = canvas.add_axes((0, max(0, top), 1, height / sum(heights)))
        panel.set(xlim=(0, width), ylim=(height / LINE_INCHES, 0))
        panel.axis("off")
        _write(panel, 0.1, 1, name, bold=True)
        _draw_table(panel, list(table), cells, width)
    return canvas


def strongest_detectors_markdown(
    studies: Studies, columns: int = 8, tokens: int = 10
) -> str:
    """Figure 5 in Markdown: a heading and a table a study. Arguments as of `strongest_detectors`."""
    parts = []
    for name, section in studies.items():
        found = section["strongest"][:columns]
        cells = [_column(detector, tokens) for detector in found]
        lines = [
            f"| | {' | '.join(_heading(detector) for detector in found)} |",
            "| --- " * (len(found) + 1) + "|",
        ]
        for label in cells[0] if cells else ():
            row = ["<br>".join(map(_markdown, column[label])) for column in cells]
            lines.append(f"| {label} | {' | '.join(row)} |")
        table = "\n".join(lines) if found else NO_DETECTORS
        parts.append(f"### {glyphs.printable(name)}\n\n{table}\n")
    return "\n".join(parts)


def _heading(detector: Mapping[str, Any]) -> str:
    """As in the paper: layer and neuron."""
    return f"L={detector['layer']}, n={detector['neuron']}"


def _column(detector: Mapping[str, Any], tokens: int) -> Column:
    """A detector's cells. As in the paper the most suppressed token is at the very bottom."""
    triggers = detector["triggers"]
    ids = {trigger["ids"][0] for trigger in triggers}
    detected = [Entry(trigger["text"]) for trigger in triggers[:MOST_TRIGGERS]]
    if len(triggers) > MOST_TRIGGERS:
        more = f"… {len(triggers) - MOST_TRIGGERS} more"
        detected.append(Entry(more, is_token=False))
    promoted, suppressed = (
        [Entry(t["text"], t["projection"], t["id"] in ids) for t in shown]
        for shown in (detector["promoted"][:tokens], detector["suppressed"][:tokens])
    )
    return {
        "Detected tokens": detected,
        "Top promoted": promoted,
        "Top suppressed": suppressed[::-1],
        "Mean of triggers": [Entry("", detector["mean_projection"], is_token=False)],
    }


def _rows(columns: Sequence[Column]) -> list[tuple[str, list[list[Line]]]]:
    """The table row by row: a label, and a list of lines for each column."""
    return [
        (label, [_lines(column[label]) for column in columns])
        for label in (columns[0] if columns else ())
    ]


def _row_height(row: tuple[str, list[list[Line]]]) -> float:
    return max(map(len, row[1])) + 0.6


def _lines(entries: Sequence[Entry]) -> list[Line]:
    """A line a token with its projection; tokens without one as a list, over lines."""
    if entries[0].projection is not None:
        room = COLUMN_INCHES - NUMBER_INCHES - 2 * GAP_INCHES
        return [
            Line(_number(entry), glyphs.shortened(entry.piece, room), entry.bold)
            for entry in entries
        ]
    room = COLUMN_INCHES - GAP_INCHES
    words = [
        glyphs.shortened(entry.piece, room - glyphs.inches(",")) for entry in entries
    ]
    lines = [words[0]]
    for word in words[1:]:
        if glyphs.inches(f"{lines[-1]}, {word},") <= room:
            lines[-1] += f", {word}"
        else:
            lines[-1] += ","
            lines.append(word)
    return [Line("", line) for line in lines]


def _number(entry: Entry) -> str:
    """Three significant digits with a sign, or nothing."""
    return "" if entry.projection is None else f"{entry.projection:+#.3g}".rstrip(".")


def _draw_table(
    panel: axes.Axes,
    headings: Sequence[str],
    rows: Sequence[tuple[str, list[list[Line]]]],
    width: float,
) -> None:
    """The table on axes in inches (x) and lines (y, downwards); its title is on line 1."""
    if not headings:
        _write(panel, 0.1, 2.2, NO_DETECTORS)
    starts = [LABEL_INCHES + COLUMN_INCHES * index for index in range(len(headings))]
    for start, heading in zip(starts, headings, strict=True):
        _write(panel, start, 2.2, heading, bold=True)
    y = 2.8
    for label, cells in rows:
        panel.plot([0.1, width - 0.1], [y, y], color="0.7", linewidth=0.6)
        _write(panel, 0.1, y + 0.8, label)
        for start, cell in zip(starts, cells, strict=True):
            for index, line in enumerate(cell):
                indent = NUMBER_INCHES + GAP_INCHES if line.number else 0
                at = y + 0.8 + index
                _write(panel, start + NUMBER_INCHES, at, line.number, ha="right")
                _write(panel, start + indent, at, line.words, line.bold)
        y += _row_height((label, cells))


def _write(
    panel: axes.Axes,
    x: float,
    y: float,
    words: str,
    bold: bool = False,
    ha: str = "left",
) -> None:
    # Tokens hold dollar signs, which are no formulas here.
    panel.text(
        x,
        y,
        glyphs.printable(words),
        ha=ha,
        va="center",
        fontsize=style.FONT_SIZE,
        fontfamily=glyphs.FONT,
        fontweight="bold" if bold else "normal",
        parse_math=False,
    )


def _markdown(entry: Entry) -> str:
    """Code that a table cell can hold: pipes escaped, fenced by more backticks than the token has."""
    if not entry.is_token:
        return _number(entry) + entry.piece
    text = glyphs.printable(entry.piece).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    code = f"{fence}{space}{text}{space}{fence}"
    return f"{_number(entry)} {f'**{code}**' if entry.bold else code}".strip()

"""What token detectors promote and suppress, as a table to read (paper Figure 5).

In: `summary["suppression"]` of one or several studies, by name. Out: the rows of a table, the same
for the figure (`suppression_table`) and for Markdown. Shown are the strongest detectors, those with
most activations on their triggers. Triggers are bold where they are promoted or suppressed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxneurons.figures import markdown, tokens

# Detectors side by side, and tokens promoted and suppressed by each.
COLUMNS = 4
TOKENS = 6
MOST_TRIGGERS = 12

Studies = Mapping[str, Mapping[str, Any]]


class Entry(NamedTuple):
    """What a cell holds.

    Attributes:
        words: a token; or words, where `is_token` is false.
        number: its projection, or nothing.
        bold: whether it is a trigger.
    """

    words: str
    number: str = ""
    bold: bool = False
    is_token: bool = True


class Table(NamedTuple):
    """Some of a study's detectors: headings, and the rows' cells by label, a cell per detector."""

    headings: list[str]
    rows: dict[str, list[list[Entry]]]


def has_detectors(section: Mapping[str, Any]) -> bool:
    """Whether there is a detector to show."""
    return bool(section["strongest"])


def tables(studies: Studies) -> dict[str, list[Table]]:
    """Each study's tables: all its strongest detectors, or the first few of several studies."""
    most = None if len(studies) == 1 else COLUMNS
    return {
        name: [
            _table(section["strongest"][:most][first : first + COLUMNS])
            for first in range(0, len(section["strongest"][:most]), COLUMNS)
        ]
        for name, section in studies.items()
    }


def overall(section: Mapping[str, Any]) -> str:
    """How many token detectors suppress their triggers, beside what chance would do."""
    groups = section["overall"]
    found = groups["detectors"]
    controls = [
        f"{_percent(groups[group]['mean_negative'])} {words}"
        for group, words in (
            ("random_tokens", "for the same neurons with random tokens as frequent"),
            ("random_neurons", "for random neurons with random tokens"),
        )
        if groups[group]["number"]
    ]
    number = found["number"]
    sentence = (
        f"Of {number:,} token detector{'s' * (number > 1)}, {_percent(found['mean_negative'])} "
        "suppress their triggers: the mean projection is negative."
    )
    chosen = "Shown are those with the most activations on their triggers."
    compared = [f"Controls: {', '.join(controls)}."] if controls else []
    return " ".join([sentence, *compared, chosen])


def as_markdown(studies: Studies) -> str:
    """Figure 5 in Markdown: a heading, a sentence and tables per study."""
    parts = []
    for name, shown in tables(studies).items():
        parts += [f"### {markdown.escaped(name)}", overall(studies[name])]
        parts += map(_markdown_table, shown)
    return "\n\n".join(parts) + "\n"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(detectors: Sequence[Mapping[str, Any]]) -> Table:
    columns = [_column(detector) for detector in detectors]
    # As in the paper: layer and neuron.
    headings = [f"L={one['layer']}, n={one['neuron']}" for one in detectors]
    rows = {label: [column[label] for column in columns] for label in columns[0]}
    return Table(headings, rows)


def _column(detector: Mapping[str, Any]) -> dict[str, list[Entry]]:
    """A detector's cells. As in the paper the most suppressed token is at the very bottom."""
    triggers = detector["triggers"]
    ids = {trigger["ids"][0] for trigger in triggers}
    detected = [Entry(tokens.readable(one["text"])) for one in triggers[:MOST_TRIGGERS]]
    if more := triggers[MOST_TRIGGERS:]:
        detected.append(Entry(f"… {len(more)} more", is_token=False))
    promoted = detector["promoted"][:TOKENS]
    suppressed = detector["suppressed"][:TOKENS][::-1]
    projections = [token["projection"] for token in [*promoted, *suppressed]]
    *numbers, mean = _aligned([*projections, detector["mean_projection"]])
    projected = [
        Entry(tokens.readable(token["text"]), number, token["id"] in ids)
        for token, number in zip([*promoted, *suppressed], numbers, strict=True)
    ]
    return {
        "Detected tokens": detected,
        "Top promoted": projected[: len(promoted)],
        "Top suppressed": projected[len(promoted) :],
        "Mean of triggers": [Entry("", mean, is_token=False)],
    }


def _aligned(values: Sequence[float]) -> list[str]:
    """Numbers with a sign and as many decimals each, three digits of the largest."""
    _, exponent = f"{max(map(abs, values)):.2e}".split("e")
    decimals = 2 - int(exponent)
    form = f"+.{max(decimals, 0)}f" if decimals <= 6 else "+.2e"
    return [format(value, form).replace("-", "\N{MINUS SIGN}") for value in values]


def _markdown_table(table: Table) -> str:
    lines = [
        f"| | {' | '.join(table.headings)} |",
        "| --- " * (len(table.headings) + 1) + "|",
    ]
    for label, cells in table.rows.items():
        row = ["<br>".join(map(_markdown, cell)) for cell in cells]
        lines.append(f"| {label} | {' | '.join(row)} |")
    return "\n".join(lines)


def _markdown(entry: Entry) -> str:
    if not entry.is_token:
        return entry.number + entry.words
    code = markdown.code(entry.words)
    return f"{entry.number} {f'**{code}**' if entry.bold else code}".strip()

"""What a check finds: one figure, and many as a table."""

from collections.abc import Iterable
from typing import NamedTuple

from jaxneurons.benchmark import table


class Figure(NamedTuple):
    """One thing found.

    Attributes:
        name: what it is of.
        value: a number, or words where there is none.
        unit: of the number; empty without one.
    """

    name: str
    value: float | str
    unit: str = ""


def markdown(figures: Iterable[tuple[str, Figure]]) -> str:
    """A table of figures by part."""
    rows = [(part, name, _text(value), unit) for part, (name, value, unit) in figures]
    return table.markdown(("part", "figure", "value", "unit"), rows)


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"

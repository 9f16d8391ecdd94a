"""What a check finds: one figure, and many as a table."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxneurons.benchmark import table


class Figure(NamedTuple):
    """One thing found.

    Attributes:
        name: what it is of.
        value: a number, or words where there is none.
        unit: of the number; empty without one.
        is_wrong: whether something does not compute what it should.
    """

    name: str
    value: float | str
    unit: str = ""
    is_wrong: bool = False


def markdown(figures: Iterable[tuple[str, Figure]]) -> str:
    """A table of figures by part."""
    rows = [(part, each.name, text(each), each.unit) for part, each in figures]
    return table.markdown(("part", "figure", "value", "unit"), rows)


def to_json(found: Figure) -> dict[str, Any]:
    """A figure as JSON, which has no NaN: then the value is in words."""
    is_number = not isinstance(found.value, str) and math.isfinite(found.value)
    return found._asdict() | ({} if is_number else {"value": text(found)})


def text(found: Figure) -> str:
    """The value in words."""
    return found.value if isinstance(found.value, str) else f"{found.value:.4g}"

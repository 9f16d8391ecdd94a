"""One neuron of a study: when it fires, on what, what it writes, and the text around its peaks.

A `Neuron` holds what `neuron_reading` read, and shows itself as text in a terminal and as HTML in a notebook.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxneurons.studies import neuron_html, neuron_text


class Projection(NamedTuple):
    """A token and the projection of the neuron's output on it."""

    id: int
    text: str
    projection: float


class Trigger(NamedTuple):
    """An n-gram that the neuron detects.

    Attributes:
        ids: of its n tokens.
        text: as a person reads it.
        activations: its occurrences on which the neuron is active.
        occurrences: all of them.
        share: of the neuron's activations on n-grams, those on this one.
    """

    ids: tuple[int, ...]
    text: str
    activations: int
    occurrences: int
    share: float


class Example(NamedTuple):
    """A window in which the neuron is active, around the place where it is highest.

    Attributes:
        value: of the neuron at its peak.
        domain: of the window.
        window, position: where the peak is in the study's array `tokens`.
        id: of the token at the peak.
        before, peak, after: text of that token and of up to 12 on either side.
    """

    value: float
    domain: str
    window: int
    position: int
    id: int
    before: str
    peak: str
    after: str

    @property
    def text(self) -> str:
        """The peak and what is around it."""
        return self.before + self.peak + self.after


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Neuron:
    """One neuron; made by `Results.neuron`.

    Attributes:
        model: name of its model.
        layer, index: its place in the model, from 0.
        row: its row of `Results.neurons`, by column.
        tokens: tokens of the study's text.
        activation_function: its nonlinearity, as `Config` has it.
        can_certify: whether the model is one whose weights can prove anything of a neuron.
        bounds: the least and the largest pre-activation that any input can cause.
        triggers: what it detects; of each n the most frequent first.
        promoted, suppressed: tokens of the highest and of the lowest projections; None where the study did not
            look for them.
        position_frequency: float64[T], the share of full windows in which it is active at each position; NaN
            where there are none.
        position_frequency_by_domain: the same of each domain.
        examples: windows in which it is highest, best first; None where the study kept none.
        random_examples: windows in which it is active, in random order; likewise.
    """

    model: str
    layer: int
    index: int
    row: Mapping[str, Any]
    tokens: int
    activation_function: str
    can_certify: bool
    bounds: tuple[float, float]
    triggers: tuple[Trigger, ...]
    promoted: tuple[Projection, ...] | None
    suppressed: tuple[Projection, ...] | None
    position_frequency: np.ndarray
    position_frequency_by_domain: Mapping[str, np.ndarray]
    examples: tuple[Example, ...] | None
    random_examples: tuple[Example, ...] | None

    @property
    def frequency(self) -> float:
        """The share of all tokens on which it is active."""
        return self.row["frequency"]

    @property
    def kind(self) -> str:
        """What kind of neuron it is, in words."""
        return neuron_text.kind(self)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; what is not a number is None."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return _plain(values | {"kind": self.kind})

    def __str__(self) -> str:
        return neuron_text.to_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return neuron_html.to_html(self)


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value

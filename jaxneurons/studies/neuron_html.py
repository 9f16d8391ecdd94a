"""One neuron as HTML for a notebook: the same as `neuron_text`, in tables. Whatever a token holds, it is text here."""

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxneurons.studies import neuron_text

if TYPE_CHECKING:
    from jaxneurons.studies.neuron import Example, Neuron, Projection, Trigger

CHART_HEIGHT = 40


def to_html(neuron: "Neuron") -> str:
    """The neuron as one element."""
    title = f"{neuron.model}, layer {neuron.layer}, neuron {neuron.index}"
    parts = [
        f"<h4>{_text(title)}: {_text(neuron.kind)}</h4>",
        f"<pre>{_text(chr(10).join(neuron_text.numbers(neuron)))}</pre>",
        _table(
            "Triggers",
            ("n-gram", "ids", "active on", "of", "share of its activations"),
            map(_trigger, neuron.triggers),
        ),
        _projections("Promotes", neuron.promoted),
        _projections("Suppresses", neuron.suppressed),
        _chart(neuron.position_frequency),
        _examples("Highest", neuron.examples),
        _examples("At random", neuron.random_examples),
    ]
    return f"<div>{''.join(parts)}</div>"


def _text(text: str) -> str:
    return html.escape(text)


def _token(text: str) -> str:
    shown = _text(neuron_text.quoted(text))
    return f'<code style="white-space:pre-wrap"><bdi>{shown}</bdi></code>'


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML; nothing without rows."""
    body = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    if not body:
        return ""
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    return (
        f"<table><caption>{_text(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _trigger(trigger: "Trigger") -> tuple[str, ...]:
    return (
        _token(trigger.text),
        neuron_text.ids(trigger.ids),
        f"{trigger.activations:,}",
        f"{trigger.occurrences:,}",
        f"{trigger.share:.1%}",
    )


def _projections(caption: str, ends: Sequence["Projection"] | None) -> str:
    rows = [
        (_token(one.text), str(one.id), f"{one.projection:+.3f}") for one in ends or ()
    ]
    return _table(caption, ("token", "id", "projection"), rows)


def _chart(frequency: np.ndarray) -> str:
    """A line of the frequency by position."""
    if np.isnan(frequency).any() or not frequency.any():
        return ""
    heights = CHART_HEIGHT * (1 - frequency / frequency.max())
    points = " ".join(f"{x},{y:.1f}" for x, y in enumerate(heights))
    label = (
        f"Frequency by position, 0 to {len(frequency) - 1}: up to {frequency.max():.3f}"
    )
    return (
        f'<figure><svg role="img" aria-label="{label}" width="512" height="{CHART_HEIGHT}" '
        f'viewBox="0 0 {len(frequency)} {CHART_HEIGHT}" preserveAspectRatio="none">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" vector-effect="non-scaling-stroke"/></svg>'
        f"<figcaption>{label}</figcaption></figure>"
    )


def _examples(caption: str, examples: Sequence["Example"] | None) -> str:
    rows = [(f"{one.value:.3f}", _place(one), _context(one)) for one in examples or ()]
    return _table(caption, ("value", "where", "text"), rows)


def _place(one: "Example") -> str:
    return _text(f"{one.domain}, window {one.window}, position {one.position}")


def _context(one: "Example") -> str:
    before, peak, after = (
        _text(neuron_text.visible(part)) for part in (one.before, one.peak, one.after)
    )
    return f'<bdi style="white-space:pre-wrap">{before}<mark>{peak}</mark>{after}</bdi>'

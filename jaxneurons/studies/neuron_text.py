"""One neuron as text for a terminal: what it is, in words and numbers, and its examples with the peak marked."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxneurons.terms import ORDERS

if TYPE_CHECKING:
    from jaxneurons.studies.neuron import Example, Neuron, Trigger

ORDER_NAMES = {1: "token", 2: "bigram", 3: "trigram"}
# Triggers of each order, and examples of each kind, that are shown; a neuron's fields hold all of them.
SHOWN = 8
CHART_WIDTH = 64
_BARS = "▁▂▃▄▅▆▇█"
_WHITE = {"\n": "⏎", "\t": "⇥"}
_NOT_SOUGHT = "not looked for. Analyze the study with its model to find them."
_NOT_KEPT = "none kept. Run a study that keeps examples to see them."


def visible(text: str) -> str:
    """The text on one line, with signs for line breaks and an escape for whatever cannot be seen."""
    return "".join(
        c if c.isprintable() else _WHITE.get(c) or c.encode("unicode_escape").decode()
        for c in text
    )


def quoted(text: str) -> str:
    """A token's text in quotation marks, so that its spaces are seen."""
    return f'"{visible(text)}"'


def kind(neuron: "Neuron") -> str:
    """What kind of neuron it is, in words."""
    row, found = neuron.row, []
    if row["dead"]:
        return "dead" + " and certified so" * bool(row["certified_dead"])
    if row["certified_active"]:
        found.append("always active")
    for n in ORDERS:
        if (triggers := row[f"detector_{n}"]) > 0:
            found.append(f"{ORDER_NAMES[n]} detector ({_plural(triggers, 'trigger')})")
    if row["positional_type"] != "none":
        found.append(
            f"positional ({row['positional_type']}, {row['positional_strength']})"
        )
    domains = [
        name for name in neuron.position_frequency_by_domain if row[f"specific_{name}"]
    ]
    if domains:
        found.append(f"specific to {', '.join(domains)}")
    counted = row["coverage_1"] >= 0
    none = "no n-gram detector" if counted else "its n-grams were not counted"
    return ", ".join(found) or f"alive; {none}, and not positional"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def to_text(neuron: "Neuron") -> str:
    """All that a study holds of the neuron, in lines."""
    title = (
        f"{neuron.model}, layer {neuron.layer}, neuron {neuron.index}: {neuron.kind}"
    )
    sections = (
        ("", numbers(neuron)),
        ("Triggers", _triggers(neuron.triggers)),
        ("Promotes and suppresses", _projections(neuron)),
        (_chart_title(neuron), _charts(neuron)),
        ("Highest", _examples(neuron, neuron.examples)),
        ("At random", _examples(neuron, neuron.random_examples)),
    )
    lines = [title]
    for heading, content in sections:
        if shown := list(content):
            lines += ["", *[heading] * bool(heading)]
            lines += [f"  {line}" for line in shown]
    return "\n".join(line.rstrip() for line in lines)


def numbers(neuron: "Neuron") -> Iterator[str]:
    """A line for each number of a neuron as a whole."""
    row = neuron.row
    active = (
        f"{row['activations']:,} of {neuron.tokens:,} tokens ({neuron.frequency:.3%})"
    )
    domains = [
        f"{name} {row[f'frequency_{name}']:.3%}"
        for name in neuron.position_frequency_by_domain
    ]
    yield f"active on       {active}" + (
        f": {', '.join(domains)}" if domains[1:] else ""
    )
    low, high = neuron.bounds
    yield f"pre-activation  {low:.2f} to {high:.2f} at the most, whatever the input"
    if not neuron.can_certify:
        yield "certified       never: a model without biases certifies no neuron"
    if neuron.activation_function != "relu":
        yield f"nonlinearity    {neuron.activation_function}: where not active, it still writes a little"
    if row["dead"]:
        yield "never active on this text: no triggers, no pattern and no examples"
        return
    if row["coverage_1"] >= 0:
        parts = [_plural(row[f"coverage_{n}"], ORDER_NAMES[n]) for n in ORDERS]
        yield f"coverage        95 % of its activations are on {', '.join(parts)}"
    yield f"position        {row['mutual_information']:.4f} nats of mutual information"
    if len(domains) > 1:
        most = np.log(len(domains))
        yield f"domains         entropy {row['domain_entropy']:.3f} nats of at most {most:.3f}"


def bars(values: np.ndarray) -> str:
    """float[T] as a line of bars, the highest of them as high as its mean over a column allows."""
    columns = np.array_split(values, min(CHART_WIDTH, len(values)))
    means = np.array([column.mean() for column in columns])
    scaled = means / (means.max() or 1) * (len(_BARS) - 1)
    return "".join(_BARS[round(height)] for height in scaled)


def _triggers(triggers: Sequence["Trigger"]) -> Iterator[str]:
    for n in ORDERS:
        own = [trigger for trigger in triggers if len(trigger.ids) == n]
        for trigger in own[:SHOWN]:
            share = trigger.activations / trigger.occurrences
            yield (
                f"{quoted(trigger.text)} {ids(trigger.ids)}: active on {trigger.activations:,} of "
                f"{trigger.occurrences:,} ({share:.1%}), {trigger.share:.1%} of its activations"
            )
        if more := len(own[SHOWN:]):
            yield f"and {_plural(more, f'more {ORDER_NAMES[n]}')}"


def ids(tokens: Iterable[int]) -> str:
    """Ids beside a text."""
    return " ".join(map(str, tokens))


def _projections(neuron: "Neuron") -> Iterator[str]:
    if neuron.promoted is None or neuron.suppressed is None:
        yield _NOT_SOUGHT
        return
    columns = [
        [f"{quoted(one.text)} {one.id} {one.projection:+.3f}" for one in ends]
        for ends in (neuron.promoted, neuron.suppressed)
    ]
    width = max(map(len, columns[0]), default=0)
    for promoted, suppressed in zip(*columns, strict=True):
        yield f"{promoted:{width}}  {suppressed}"


def _chart_title(neuron: "Neuron") -> str:
    return f"Frequency by position, 0 to {len(neuron.position_frequency) - 1}"


def _charts(neuron: "Neuron") -> Iterator[str]:
    by_name = {"all": neuron.position_frequency}
    if len(neuron.position_frequency_by_domain) > 1:
        by_name |= neuron.position_frequency_by_domain
    width = max(map(len, by_name))
    for name, frequency in by_name.items():
        if np.isnan(frequency).any():
            yield f"{name:{width}}  no full window"
        elif not neuron.row["dead"]:
            low, high = frequency.min(), frequency.max()
            yield f"{name:{width}}  {bars(frequency)}  {low:.3f} to {high:.3f}"


def _examples(neuron: "Neuron", examples: Sequence["Example"] | None) -> Iterator[str]:
    if neuron.row["dead"]:
        return
    if examples is None:
        yield _NOT_KEPT
        return
    for one in examples[:SHOWN]:
        place = f"{one.domain}, window {one.window}, position {one.position}"
        text = f"{visible(one.before)}⟦{visible(one.peak)}⟧{visible(one.after)}"
        yield f"{one.value:8.3f}  {place}:  {text}"
    if more := len(examples[SHOWN:]):
        yield f"and {more} more"

"""What a study found, in words: summary.json in; a table of the layers and a few sentences out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxneurons import terms

Section = Mapping[str, Any]

# Layers whose new tokens are listed.
MOST_LAYERS = 12


def to_text(summary: Section) -> str:
    """The findings of a study, in lines.

    Args:
        summary: what summary.json says.
    """
    return "\n".join([_table(summary), "", *explanations(summary), *sentences(summary)])


def _table(summary: Section) -> str:
    """A row per layer."""
    ngrams = summary["ngrams"] or {}
    head = ["layer", "dead", "certified", "frequency"]
    head += [f"detectors n={n}" for n in ngrams] + ["positional"]
    rows = [head]
    for index, layer in enumerate(summary["activation"]["layers"]):
        frequency = layer["mean_frequency_alive"]
        rows.append(
            [
                str(layer["layer"]),
                f"{layer['dead']:,}",
                _number(layer["certified_dead"]),
                "-" if frequency is None else f"{frequency:.2%}",
                *[_detectors(found["layers"][index]) for found in ngrams.values()],
                f"{summary['positions']['layers'][index]['positional']:,}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _number(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _detectors(layer: Section) -> str:
    return f"{layer['detectors']:,} ({layer['attested_detectors']:,})"


def explanations(summary: Section) -> Iterator[str]:
    """How to read the table of a study's findings."""
    yield (
        "dead: neurons that are never active on this text; certified: that cannot be on any; frequency: mean share "
        "of tokens on which those alive are active."
    )
    if about := terms.about_inactive(summary["activation"]["activation_function"]):
        yield about
    if summary["activation"]["certified_dead"] is None:
        yield terms.NOT_CERTIFIABLE
    if ngrams := summary["ngrams"]:
        least = ngrams["1"]["criteria"]["attested_occurrences"]
        yield (
            f"In brackets: detectors whose triggers occur at least {least} times in all. On short text the paper's "
            "definition also counts neurons that fired a few times, each time on another rare n-gram."
        )


def sentences(summary: Section) -> Iterator[str]:
    """What was found of the model as a whole."""
    if ngrams := summary["ngrams"]:
        yield _new_tokens(ngrams[str(terms.ORDERS[0])]["layers"])
    if summary["suppression"]:
        yield _suppression(summary["suppression"]["overall"])
        yield from _lowest(summary["suppression"])
    yield _positional(summary["positions"])


def _new_tokens(layers: Sequence[Section]) -> str:
    if not layers[-1]["cumulative"]:
        return "No token has a detector."
    counts = [f"layer {row['layer']}: {row['new_overall']:,}" for row in layers]
    if more := len(counts[MOST_LAYERS:]):
        counts = [*counts[:MOST_LAYERS], f"and so on in {more} more"]
    number = layers[-1]["cumulative"]
    have = "tokens have" if number > 1 else "token has"
    return (
        f"{number:,} {have} a detector; those that no layer below detects: "
        f"{', '.join(counts)}."
    )


def _suppression(overall: Section) -> str:
    number = overall["detectors"]["number"]
    if not number:
        return "There are no token detectors whose suppression of triggers could be looked at."
    parts = [
        _share(overall[group]["mean_negative"])
        for group in ("detectors", "random_tokens", "random_neurons")
    ]
    plural = "s" * (number > 1)
    return (
        f"Of {number:,} token detector{plural}, {parts[0]} suppress their triggers (their mean projection is "
        f"negative); {parts[1]} suppress random tokens as frequent as these, and {parts[2]} of random other neurons do."
    )


def _lowest(section: Section) -> Iterator[str]:
    """How many have a trigger among the lowest projections; nothing where these are much of the vocabulary."""
    share = section["overall"]["detectors"]["among_lowest"]
    if share is not None:
        yield (
            f"{share:.0%} of them have a trigger among the {section['settings']['lowest']} lowest projections, "
            f"{section['lowest_share']:.2%} of the vocabulary."
        )


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


def _positional(positions: Section) -> str:
    total = positions["positional"]
    if not total:
        return "No neuron is positional."
    strongest: dict[str, Section] = {}
    for one in sorted(
        positions["examples"], key=lambda one: -one["mutual_information"]
    ):
        strongest.setdefault(one["type"], one)
    named = [
        f"layer {one['layer']} neuron {one['neuron']} ({one['mutual_information']:.3f} nats, {one['type']}, "
        f"{one['strength']})"
        for one in strongest.values()
    ]
    are = "neurons are" if total > 1 else "neuron is"
    return (
        f"{total:,} {are} positional; the strongest of each type: {', '.join(named)}."
    )

"""The figures of the paper, one entry each: its number, where its numbers are, how it is drawn and how to read it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from jaxneurons.figures import (
    activation,
    coverage,
    detectors,
    positional_neurons,
    positions,
    suppression,
    suppression_table,
)

Section = Mapping[str, Any]


class Plot(NamedTuple):
    """A figure of the paper.

    Attributes:
        number: the paper's, such as "1a".
        name: the rest of its file's name.
        title: what it shows, and `reading` how to read it.
        section: keys under which a summary has its numbers.
        has: whether a section has something to show.
        lacks: what a study without it lacks, such as "no token detectors".
        thresholds: from a summary to the thresholds that decide what the figure shows, by name.
        draw: from sections by study to the figure; one of lines also takes their looks.
        lines: whether studies share its panels, as lines: then those without a finding are in it too.
    """

    number: str
    name: str
    title: str
    reading: str
    section: tuple[str, ...]
    has: Callable[[Section], bool]
    lacks: str
    thresholds: Callable[[Section], Section]
    draw: Callable[..., Figure]
    lines: bool = False

    @property
    def file_name(self) -> str:
        """The name of its files, without suffix."""
        return f"figure_{self.number}_{self.name}"


def _criteria(n: int) -> Callable[[Section], dict[str, Any]]:
    """The criteria of detectors, without the limit for n-grams of other lengths."""
    other = "most_ngrams" if n == 1 else "most_unigrams"

    def criteria(summary: Section) -> dict[str, Any]:
        found = summary["ngrams"][str(n)]["criteria"]
        return {name: value for name, value in found.items() if name != other}

    return criteria


def _position_criteria(summary: Section) -> Section:
    return summary["positions"]["criteria"]


def _covered(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        f"Neurons by the number of {term}s that trigger them",
        f"Alive neurons of the first half of the layers, by the smallest number of different {term}s that "
        f"together account for the share `coverage_share` of a neuron's activations on {term}s. Neurons of "
        f"class 0 fire on no {term}: only where a special token stands at or just before the place.",
        ("ngrams", str(n)),
        coverage.has_alive,
        "no alive neurons in the first half of the layers",
        lambda summary: {"coverage_share": summary["ngrams"][str(n)]["coverage_share"]},
        coverage.coverage_classes,
    )


def _detected(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        f"{term.capitalize()} detectors",
        f"(a) {term.capitalize()} detectors per layer. (b) Different {term}s that they detect: per layer "
        "(solid), and in this layer or any studied below it (dashed).",
        ("ngrams", str(n)),
        detectors.has_detectors,
        f"no {term} detectors",
        _criteria(n),
        detectors.detector_counts,
        lines=True,
    )


def _shared_out(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        f"How layers share out the {term}s they detect",
        f"Different {term}s that each layer detects. Of these, the blue part is not detected by the layer "
        "just below, and its dark part by none of the layers below. Each panel has its own vertical scale.",
        ("ngrams", str(n)),
        detectors.has_detectors,
        f"no {term} detectors",
        _criteria(n),
        detectors.new_ngrams,
    )


def _positional(number: str, title: str) -> Plot:
    return Plot(
        number,
        "positional_neurons",
        title,
        "One mark per positional neuron, stacked by layer; colour and shape show the type of its pattern, full "
        "colour a strong pattern and a tint a weak one. A row of several marks is as many neurons high.",
        ("positions",),
        positions.has_positional,
        "no positional neurons",
        _position_criteria,
        positional_neurons.positional_neurons,
    )


PLOTS = (
    Plot(
        "1a",
        "dead_neurons",
        "Dead neurons",
        "The share of each layer's neurons that never fire on the text, by the relative depth of the layer: 0 is "
        "the model's input, 1 its output. Dotted: certified dead, which the weights keep from firing on any input.",
        ("activation",),
        activation.has_dead,
        "no dead neurons",
        lambda summary: {},
        activation.dead_neurons,
        lines=True,
    ),
    Plot(
        "1b",
        "activation_frequency",
        "Activation frequency",
        "The share of tokens on which a neuron fires, averaged over the neurons of a layer that are not dead.",
        ("activation",),
        activation.has_alive,
        "no alive neurons",
        lambda summary: {},
        activation.activation_frequency,
        lines=True,
    ),
    _covered(1, "2", "unigram_coverage"),
    _detected(1, "3", "token_detectors"),
    _shared_out(1, "4", "new_tokens"),
    Plot(
        "5",
        "token_suppression",
        "What token detectors promote and suppress",
        "The token detectors with the most activations on their triggers. The numbers are projections of a neuron's "
        "output on the vocabulary: the highest are promoted (green), the lowest suppressed (red). Triggers are bold. "
        "Ġ is the space before a word.",
        ("suppression",),
        suppression.has_detectors,
        "no token detectors",
        lambda summary: _criteria(1)(summary) | summary["suppression"]["settings"],
        suppression_table.token_suppression,
    ),
    Plot(
        "7",
        "position_patterns",
        "Types of positional neurons",
        "How often a neuron fires at each position of a full window. Of each type and strength the neuron with the "
        "most mutual information between firing and position is shown.",
        ("positions",),
        positions.has_positional,
        "no positional neurons",
        _position_criteria,
        positions.position_patterns,
    ),
    _positional("8", "Positional neurons"),
    Plot(
        "9",
        "position_ranges",
        "Ranges of strong oscillatory neurons",
        "The positions that each strong oscillatory neuron indicates, in the layer that has most of them, and their "
        "union (dark). A pale neuron is redundant: the others cover its ranges without it. This holds for each pale "
        "neuron alone, not for all of them together.",
        ("positions",),
        positions.has_ranges,
        "no strong oscillatory neurons",
        _position_criteria,
        positions.position_ranges,
    ),
    _covered(2, "12", "bigram_coverage"),
    _covered(3, "13", "trigram_coverage"),
    _detected(3, "14", "trigram_detectors"),
    _shared_out(3, "15", "new_trigrams"),
)
# The paper draws Figure 8 again for models that are trained in different ways, and for the one that is built differently.
OTHER_POSITIONAL = (
    _positional("10", "Positional neurons with and without position embeddings"),
    _positional("11", "Positional neurons in the course of training"),
    _positional("16", "Positional neurons of the 350m model"),
)


def by_number() -> dict[str, list[Plot]]:
    """What each number stands for; "1" is 1a and 1b."""
    single = {plot.number: [plot] for plot in (*PLOTS, *OTHER_POSITIONAL)}
    return {"1": [*single["1a"], *single["1b"]]} | single

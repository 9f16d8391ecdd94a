"""The paper's figures, and one of ours: the number of each, where its numbers are, how to draw and to read it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from jaxneurons.figures import (
    activation,
    coverage,
    detectors,
    domains,
    over_training,
    positional_neurons,
    positions,
    suppression,
    suppression_table,
)

Section = Mapping[str, Any]


class Plot(NamedTuple):
    """A figure of the paper, or like them.

    Attributes:
        number: the paper's, such as "1a"; a letter for a figure that the paper has not.
        name: the rest of its file's name.
        title: what it shows, and `reading` how to read it.
        section: keys under which a summary has its numbers.
        has: whether a section has something to show.
        lacks: what a study without it lacks, such as "no token detectors".
        draw: from sections by study to the figure; one of lines also takes their looks.
        thresholds: from a summary to the thresholds that decide what the figure shows, by name.
        lines: whether studies share its panels, as lines; those without a finding are in it too.
    """

    number: str
    name: str
    title: str
    reading: str
    section: tuple[str, ...]
    has: Callable[[Section], bool]
    lacks: str
    draw: Callable[..., Figure]
    thresholds: Callable[[Section], Section] = lambda summary: {}
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


def _training_criteria(summary: Section) -> Section:
    """The criteria of detectors, where n-grams were counted, and of positional neurons."""
    ngrams = summary["ngrams"]
    of_detectors = ngrams["1"]["criteria"] if ngrams else {}
    return {**of_detectors, **_position_criteria(summary)}


# Where a neuron of class 0 fires, by n.
_BESIDE_NGRAMS = {
    1: "only on special tokens",
    2: "only on special tokens and right after them",
    3: "only on special tokens and on the two tokens after them",
}


def _covered(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        title=f"Neurons by the number of {term}s that trigger them",
        reading=(
            "Alive neurons of the first half of the layers, by the smallest number of different "
            f"{term}s that together account for the share `coverage_share` of a neuron's "
            f"activations on {term}s. A neuron of class 0 fires on no {term}: {_BESIDE_NGRAMS[n]}."
        ),
        section=("ngrams", str(n)),
        has=coverage.has_alive,
        lacks="no alive neurons in the first half of the layers",
        thresholds=lambda summary: {
            "coverage_share": summary["ngrams"][str(n)]["coverage_share"]
        },
        draw=coverage.coverage_classes,
    )


def _detected(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        title=f"{term.capitalize()} detectors",
        reading=(
            f"(a) {term.capitalize()} detectors per layer. (b) Different {term}s that they "
            "detect: in each layer (solid), and in this or any lower layer studied (dashed)."
        ),
        section=("ngrams", str(n)),
        has=detectors.has_detectors,
        lacks=f"no {term} detectors",
        thresholds=_criteria(n),
        draw=detectors.detector_counts,
        lines=True,
    )


def _shared_out(n: int, number: str, name: str) -> Plot:
    term = coverage.TERMS[n]
    return Plot(
        number,
        name,
        title=f"How layers share out the {term}s that they detect",
        reading=(
            f"Different {term}s that each layer detects. The blue part is not detected in the "
            "layer just below, and its dark part in none of the lower layers studied. Where there "
            "are several panels, each has its own vertical scale."
        ),
        section=("ngrams", str(n)),
        has=detectors.has_detectors,
        lacks=f"no {term} detectors",
        thresholds=_criteria(n),
        draw=detectors.new_ngrams,
    )


def _positional(number: str, title: str) -> Plot:
    return Plot(
        number,
        "positional_neurons",
        title,
        reading=(
            "One mark per positional neuron, stacked by layer. Colour and shape show the type of "
            "its pattern; full colour is a strong pattern, a tint a weak one. A row of several "
            "marks is as many neurons high, so that the scale counts neurons."
        ),
        section=("positions",),
        has=positions.has_positional,
        lacks="no positional neurons",
        thresholds=_position_criteria,
        draw=positional_neurons.positional_neurons,
    )


PLOTS = (
    Plot(
        "1a",
        "dead_neurons",
        title="Dead neurons",
        reading=(
            "The share of each layer's neurons that never fire on the text, by the relative depth "
            "of the layer: 0 is the model's input, 1 its output. Dotted lines show the neurons "
            "that are certified dead: their weights keep them from firing on any input."
        ),
        section=("activation",),
        has=activation.has_dead,
        lacks="no dead neurons",
        draw=activation.dead_neurons,
        lines=True,
    ),
    Plot(
        "1b",
        "activation_frequency",
        title="Activation frequency",
        reading=(
            "The share of tokens on which a neuron fires, averaged over those neurons of a layer "
            "that are not dead, by the relative depth of the layer."
        ),
        section=("activation",),
        has=activation.has_alive,
        lacks="no alive neurons",
        draw=activation.activation_frequency,
        lines=True,
    ),
    _covered(1, "2", "unigram_coverage"),
    _detected(1, "3", "token_detectors"),
    _shared_out(1, "4", "new_tokens"),
    Plot(
        "5",
        "token_suppression",
        title="What token detectors promote and suppress",
        reading=(
            "The token detectors with the most activations on their triggers. A number is the "
            "projection of a neuron's output on a token of the vocabulary: the highest are "
            "promoted (green), the lowest suppressed (red). Triggers are bold. Ġ is the space "
            "before a word."
        ),
        section=("suppression",),
        has=suppression.has_detectors,
        lacks="no token detectors",
        thresholds=lambda summary: (
            _criteria(1)(summary) | summary["suppression"]["settings"]
        ),
        draw=suppression_table.token_suppression,
    ),
    Plot(
        "7",
        "position_patterns",
        title="Types of positional neurons",
        reading=(
            "How often a neuron fires at each position of a full window. Of each type and "
            "strength, the neuron with the most mutual information is shown."
        ),
        section=("positions",),
        has=positions.has_positional,
        lacks="no positional neurons",
        thresholds=_position_criteria,
        draw=positions.position_patterns,
    ),
    _positional("8", "Positional neurons"),
    Plot(
        "9",
        "position_ranges",
        title="Ranges of strong oscillatory neurons",
        reading=(
            "The positions that each strong oscillatory neuron indicates, in the layer that has "
            "most of them, and all of these together (dark). A pale neuron is redundant: the "
            "others cover its ranges without it. This holds for each pale neuron alone."
        ),
        section=("positions",),
        has=positions.has_ranges,
        lacks="no strong oscillatory neurons",
        thresholds=_position_criteria,
        draw=positions.position_ranges,
    ),
    _covered(2, "12", "bigram_coverage"),
    _covered(3, "13", "trigram_coverage"),
    _detected(3, "14", "trigram_detectors"),
    _shared_out(3, "15", "new_trigrams"),
    Plot(
        "D",
        "domain_specific_neurons",
        title="Domain-specific neurons",
        reading=(
            "Neurons of each layer that are specific to a domain: their entropy over domains is among the share "
            "`entropy_share` of the lowest of all alive neurons, and their frequency in the domain among the share "
            "`frequency_share` of the highest there. A neuron that is specific to several domains counts for each."
        ),
        section=("domains",),
        has=domains.has_specific,
        lacks="no domain-specific neurons",
        thresholds=lambda summary: summary["domains"]["criteria"],
        draw=domains.specific_neurons,
    ),
)
# The paper draws Figure 8 again for models trained in other ways, and for one built in another.
OTHER_POSITIONAL = (
    _positional("10", "Positional neurons with and without position embeddings"),
    _positional("11", "Positional neurons in the course of training"),
    _positional("16", "Positional neurons of the 350m model"),
)
# Of studies of a training run's checkpoints, all in one; "T" is no number to choose: other studies have no steps.
OVER_TRAINING = Plot(
    "T",
    "findings_over_training",
    title="Findings over training",
    reading=(
        "Of the neurons of all layers studied, by the training step of the checkpoint: the share that never fires on "
        "the text; the mean share of tokens on which the others fire; the n-gram detectors; the positional neurons."
    ),
    section=(),
    has=lambda summary: "step" in summary["model"],
    lacks="no training steps",
    draw=over_training.findings,
    thresholds=_training_criteria,
)


def by_number() -> dict[str, list[Plot]]:
    """What each number stands for; "1" is 1a and 1b."""
    single = {plot.number: [plot] for plot in (*PLOTS, *OTHER_POSITIONAL)}
    return {"1": [*single["1a"], *single["1b"]]} | single

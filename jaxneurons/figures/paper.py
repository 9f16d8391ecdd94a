"""Every figure of the paper from the summaries of one or several studies."""

from collections.abc import Mapping
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from jaxneurons.figures import (
    activation,
    glyphs,
    ngrams,
    positional_neurons,
    positions,
    suppression,
)

Summaries = Mapping[str, Mapping[str, Any]]


def draw(summaries: Summaries) -> dict[str, Figure]:
    """File name without suffix to figure, for studies by name.

    Figures 10 and 11 of the paper are Figure 8 drawn for other models: give several studies.
    """
    with rc_context({"text.parse_math": False}):
        return _draw(
            {glyphs.printable(name): summary for name, summary in summaries.items()}
        )


def _draw(summaries: Summaries) -> dict[str, Figure]:
    activations = _section(summaries, "activation")
    position = _section(summaries, "positions")
    found = {
        "figure_1a_dead_neurons": activation.dead_neurons(activations),
        "figure_1b_activation_frequency": activation.activation_frequency(activations),
        **_draw_ngrams(_section(summaries, "ngrams")),
        "figure_7_position_patterns": positions.position_patterns(position),
        "figure_8_positional_neurons": positional_neurons.positional_neurons(position),
        "figure_9_position_ranges": positions.position_ranges(position),
    }
    suppressions = _section(summaries, "suppression")
    if suppressions:
        found["figure_5_token_suppression"] = suppression.strongest_detectors(
            suppressions
        )
    return found


def tables(summaries: Summaries) -> dict[str, str]:
    """File name without suffix to Markdown: Figure 5 is a table."""
    suppressions = _section(summaries, "suppression")
    if not suppressions:
        return {}
    table = suppression.strongest_detectors_markdown(suppressions)
    return {"figure_5_token_suppression": table}


def _draw_ngrams(by_study: Summaries) -> dict[str, Figure]:
    if not by_study:
        return {}
    unigrams, bigrams, trigrams = (
        {name: by_n[n] for name, by_n in by_study.items()} for n in ("1", "2", "3")
    )
    return {
        "figure_2_unigram_coverage": ngrams.coverage_classes(unigrams),
        "figure_3_token_detectors": ngrams.detector_counts(unigrams),
        "figure_4_new_tokens": ngrams.new_ngrams(unigrams),
        "figure_12_bigram_coverage": ngrams.coverage_classes(bigrams),
        "figure_13_trigram_coverage": ngrams.coverage_classes(trigrams),
        "figure_14_trigram_detectors": ngrams.detector_counts(trigrams),
        "figure_15_new_trigrams": ngrams.new_ngrams(trigrams),
    }


def _section(summaries: Summaries, name: str) -> dict[str, Any]:
    """One section of each summary that has it."""
    return {
        study: summary[name]
        for study, summary in summaries.items()
        if summary[name] is not None
    }

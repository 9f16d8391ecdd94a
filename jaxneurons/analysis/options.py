"""The flags of the thresholds: command line in, `analyze.Thresholds` out."""

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from absl import flags

from jaxneurons.stats import (
    domains,
    position_information,
    position_types,
    suppression,
)
from jaxneurons.stats import thresholds as detector_thresholds

if TYPE_CHECKING:
    from jaxneurons.analysis import analyze

_HELP = {
    "coverage_share": "Share of a neuron's activations that its coverage accounts for.",
    "trigger_share": "Share of an n-gram's occurrences from which on it triggers a neuron.",
    "most_unigrams": "Largest coverage of a token detector.",
    "most_ngrams": "Largest coverage of a bigram or trigram detector.",
    "min_occurrences": "Smallest number of times that a trigger occurs in the text.",
    "attested_occurrences": "Number of times from which on a detector's triggers, all together, occur often "
    "enough to be counted as more than chance.",
    "information_threshold": "Mutual information, in nats, above which a neuron is positional.",
    "reliable_windows": "Number of full windows below which the bias of the information is reported.",
    "smoothing_divisor": "A pattern is averaged over the window's length divided by this number.",
    "run_divisor": "An extreme lasts for at least the window's length divided by this number.",
    "tolerance": "Distance from 0 or 1 within which a pattern reaches an extreme.",
    "strong_tolerance": "Distance from 0 or 1 within which a pattern is strong.",
    "low_level": "Share of a pattern's range up to which it is low.",
    "high_level": "Share of a pattern's range from which on it is high.",
    "minimum_range": "Range that a pattern needs to switch between low and high.",
    "least_switches": "Number of switches between low and high that makes a neuron oscillatory.",
    "thin_rms": "A pattern of type other is strong if it strays less than this from its average.",
    "range_level": "Average from which on a position is in a range of the neuron.",
    "top": "Number of tokens to list as promoted, and as suppressed.",
    "lowest": "A trigger among this many lowest projections counts as strongly suppressed.",
    "draws": "Number of draws of the random controls of token suppression.",
    "seed": "Seed of all random draws.",
    "strongest": "Number of detectors in Figure 5.",
    "entropy_share": "Share of the alive neurons, those of the lowest entropy over domains, that may be specific to a "
    "domain.",
    "frequency_share": "Share of the alive neurons, those most frequent in a domain, that may be specific to it.",
}
NULL_DRAWS = flags.DEFINE_integer(
    "null_draws",
    0,
    "Number of random neurons to compare positional neurons with; 0 compares with none.",
    lower_bound=0,
)


def _define(kind: type) -> list[str]:
    """Defines a flag for each field of a dataclass of thresholds, with its default; gives their names."""
    definitions = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
    for field in dataclasses.fields(kind):
        default: Any = field.default
        if isinstance(default, Fraction):
            default = str(float(default))
        define: Any = definitions.get(type(default), flags.DEFINE_string)
        define(field.name, default, _HELP[field.name])
    return [field.name for field in dataclasses.fields(kind)]


_DETECTORS = _define(detector_thresholds.Criteria)
_POSITIONS = _define(position_types.PositionCriteria)
_SUPPRESSION = _define(suppression.Settings)
_DOMAINS = _define(domains.Criteria)


def thresholds() -> "analyze.Thresholds":
    """What the flags ask for; raises UsageError for thresholds that contradict each other."""
    from jaxneurons.analysis import analyze

    null = position_information.Null(NULL_DRAWS.value, flags.FLAGS.seed)
    return analyze.Thresholds(
        detectors=detector_thresholds.Criteria(**_given(_DETECTORS)),
        positions=position_types.PositionCriteria(**_given(_POSITIONS)),
        suppression=suppression.Settings(**_given(_SUPPRESSION)),
        domains=domains.Criteria(**_given(_DOMAINS)),
        null=null if null.draws else None,
    )


def _given(names: list[str]) -> dict[str, Any]:
    return {name: flags.FLAGS[name].value for name in names}

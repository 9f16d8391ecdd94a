"""Finds a study's detectors and positional neurons again under other thresholds, from its arrays alone.

    python scripts/analyze.py --study=studies/opt-125m --most_unigrams=10 --trigger_share=.9

Replaces detectors_{n}.jsonl, positional.jsonl, summary.json and figures/ in the study, or writes them to a new
directory given by --out. The arrays never change, and no text is needed. What detectors promote and suppress
takes the model's weights, where the study found them or by --model; --nosuppression leaves that out.
Takes seconds: 11 s for the embedded model's study on two CPU cores, which has no token detector.
"""

import dataclasses
import pathlib
from fractions import Fraction
from typing import Any

from absl import flags

from convert import cached
from jaxneurons import errors
from jaxneurons.analysis import analyze
from jaxneurons.command import cache, script
from jaxneurons.stats import position_information, position_types, suppression
from jaxneurons.stats import thresholds as detector_thresholds
from jaxneurons.store import reading
from jaxneurons.studies import opening
from jaxneurons.studies.directory import Study

_HELP = {
    "coverage_share": "Share of a neuron's activations that its n-grams must account for.",
    "trigger_share": "Share of an n-gram's occurrences on which a neuron it triggers is active.",
    "most_unigrams": "Largest coverage of a token detector.",
    "most_ngrams": "Largest coverage of a bigram or trigram detector.",
    "min_occurrences": "An n-gram seen fewer times is no trigger.",
    "information_threshold": "A neuron with more nats of mutual information is positional.",
    "reliable_windows": "With fewer full windows the bias of the information is reported.",
    "smoothing_divisor": "Patterns are averaged over T / this many positions.",
    "run_divisor": "An extreme counts from T / this many consecutive positions.",
    "tolerance": "How near 0 or 1 an extreme is reached.",
    "strong_tolerance": "The same for a strong pattern.",
    "low_level": "Share of a pattern's range up to which it is low.",
    "high_level": "Share of a pattern's range from which it is high.",
    "minimum_range": "A pattern that varies by less does not switch between low and high.",
    "least_switches": "From so many changes between low and high a neuron is oscillatory.",
    "thin_rms": "A pattern of type other that strays less from its average is strong.",
    "range_level": "Average from which a position is in a range of the neuron.",
    "top": "Tokens listed as promoted and as suppressed.",
    "lowest": "A trigger among this many lowest projections counts as strongly suppressed.",
    "draws": "Draws of the random controls.",
    "seed": "Of all random draws.",
    "strongest": "Detectors in Figure 5.",
}
_STUDY = flags.DEFINE_string("study", None, "A finished study.", required=True)
_OUT = flags.DEFINE_string("out", None, "Where to write; default: into the study.")
_MODEL = flags.DEFINE_string("model", None, "The model studied; default: as recorded.")
_SUPPRESSION = flags.DEFINE_bool(
    "suppression", True, "Find what detectors promote and suppress."
)
_NULL_DRAWS = flags.DEFINE_integer(
    "null_draws",
    0,
    "Draws of chance to compare positional neurons with; 0: none.",
    lower_bound=0,
)


def _define(kind: type) -> list[str]:
    """A flag for each field of a dataclass of thresholds, with its default."""
    names = []
    for field in dataclasses.fields(kind):
        define: Any = {int: flags.DEFINE_integer, float: flags.DEFINE_float}.get(
            type(field.default), flags.DEFINE_string
        )
        default = field.default
        define(
            field.name,
            str(float(default)) if isinstance(default, Fraction) else default,
            _HELP[field.name],
        )
        names.append(field.name)
    return names


_CRITERIA = _define(detector_thresholds.Criteria)
_POSITIONS = _define(position_types.PositionCriteria)
_SUPPRESSION_SIZES = _define(suppression.Settings)


def main() -> None:
    if _OUT.value == "":
        raise errors.UsageError("--out is empty, wanted a directory to write")
    study = opening.open_finished(pathlib.Path(_STUDY.value))
    null = position_information.Null(_NULL_DRAWS.value, flags.FLAGS.seed)
    wanted = analyze.Thresholds(
        detectors=detector_thresholds.Criteria(**_given(_CRITERIA)),
        positions=position_types.PositionCriteria(**_given(_POSITIONS)),
        suppression=suppression.Settings(**_given(_SUPPRESSION_SIZES)),
        null=null if null.draws else None,
    )
    model = _open_model(study) if _SUPPRESSION.value else None
    folder = analyze.analyze_again(study, model, wanted, _OUT.value)
    print(f"wrote {folder / 'summary.json'}")


def _given(names: list[str]) -> dict[str, Any]:
    return {name: flags.FLAGS[name].value for name in names}


def _open_model(study: Study) -> reading.Store:
    if _MODEL.value is None:
        return reading.open_store(study.identity.model.location)
    return cached.open_model(_MODEL.value, cache.default_cache_directory())[1]


if __name__ == "__main__":
    script.run(main)

"""What a page says of a study as a whole, its entry in data/study.js."""

import heapq
from typing import Any

from jaxneurons.analysis import findings
from jaxneurons.disk import files
from jaxneurons.explorer import details, layer_columns
from jaxneurons.studies import facts, summary
from jaxneurons.studies.directory import Study
from jaxneurons.terms import POSITIONAL_TYPES, STRENGTHS

# Positional neurons that the overview marks: those of the highest mutual information.
MARKED = 400
NONE = "none"


def fingerprint(study: Study) -> str:
    """Identifies a study and its last analysis."""
    with files.translated("read", study.path):
        return files.digest(study.path / facts.NAME)[:16]


def describe(study: Study, name: str) -> dict[str, Any]:
    """What was studied and what was found, by layer and in sentences.

    Args:
        study: a finished study.
        name: what the page calls it.

    Raises:
        StudyError: a file is missing or damaged.
    """
    found, settings = summary.read(study.path), study.identity.settings
    model = study.identity.model
    return {
        "id": fingerprint(study),
        "name": name,
        "directory": study.path.name,
        "model": {
            "layers": model.config.num_hidden_layers,
            "neurons": model.config.ffn_dim,
            "activation_function": model.config.activation_function,
            "can_certify": model.config.can_certify,
            "dtype": model.dtype,
        },
        "layers": study.asked_layers,
        "domains": [
            {
                "name": domain.name,
                "tokens": domain.tokens,
                "windows": domain.windows,
                "full_windows": domain.full_windows,
            }
            for domain in study.identity.corpus
        ],
        "window": settings.window,
        "dtype": settings.arithmetic,
        "device": study.identity.device.kind,
        "versions": dict(study.identity.versions),
        "examples": {"kept": settings.examples, **details.EXAMPLES},
        "promoted": "promoted_token" in study.facts.arrays,
        "certified": layer_columns.CERTIFIED,
        "types": (NONE, *POSITIONAL_TYPES),
        "strengths": (NONE, *STRENGTHS),
        "explanations": list(findings.explanations(found)),
        "sentences": list(findings.sentences(found)),
        "by_layer": _by_layer(found),
        "ngrams": _ngrams(found),
        "position_criteria": found["positions"]["criteria"],
        "positional": _positional(study),
    }


def _by_layer(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row per layer, as the findings on a terminal have it."""
    rows = []
    for index, layer in enumerate(found["activation"]["layers"]):
        names = ("layer", "neurons", "dead", "certified_dead", "mean_frequency_alive")
        row = {name: layer[name] for name in names}
        for n, section in (found["ngrams"] or {}).items():
            row[f"detectors_{n}"] = section["layers"][index]["detectors"]
            row[f"attested_{n}"] = section["layers"][index]["attested_detectors"]
            row[f"new_{n}"] = section["layers"][index]["new_overall"]
        positions = found["positions"]["layers"][index]
        row["positional"] = positions["positional"]
        row["types"] = positions["counts"]
        rows.append(row)
    return rows


def _ngrams(found: dict[str, Any]) -> dict[str, Any] | None:
    """Criteria of detectors, and how many neurons have which coverage, by n and layer."""
    if not found["ngrams"]:
        return None
    return {
        n: {
            "criteria": section["criteria"],
            "classes": section["coverage_classes"],
            "counts": [layer["coverage_counts"] for layer in section["layers"]],
        }
        for n, section in found["ngrams"].items()
    }


def _positional(study: Study) -> list[tuple[Any, ...]]:
    """Layer, neuron, mutual information, type and strength of the strongest positional neurons."""
    records = summary.read_lines(study.path, summary.POSITIONAL)
    strongest = heapq.nlargest(
        MARKED, records, key=lambda one: one["mutual_information"]
    )
    names = ("layer", "neuron", "mutual_information", "type", "strength")
    return [tuple(one[name] for name in names) for one in strongest]

"""A study's coverage and candidates in; detectors_{n}.jsonl, ensembles and suppression out (paper §4, Appendix A).

A layer's detectors are found in blocks and written one by one: of the layers before only numbers are kept, and
the distinct n-grams that they detect.
"""

import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxneurons.command.progress import Progress
from jaxneurons.disk import files, strict_json
from jaxneurons.stats import (
    detectors,
    ensembles,
    projections,
    suppression,
    thresholds,
)
from jaxneurons.store.reading import Store
from jaxneurons.studies import candidates, summary, vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.terms import ORDERS

Keep = Callable[[detectors.Detector], object]


class Sections(NamedTuple):
    """Parts of summary.json.

    Attributes:
        ngrams: section `ngrams`; None where none were counted.
        suppression: section `suppression`; None without a model, or without n-grams.
    """

    ngrams: dict[str, Any] | None
    suppression: dict[str, Any] | None


def write_detectors(
    study: Study,
    model: Store | None,
    criteria: thresholds.Criteria,
    settings: suppression.Settings,
    folder: pathlib.Path,
    note: Keep,
    progress: Progress,
) -> Sections:
    """Finds and writes the detectors of every layer asked for, and with a model what those of tokens write.

    `note` is called with each detector too. The bar moves on by a layer for each order of n-grams.
    """
    if not study.identity.settings.ngrams:
        return Sections(None, None)
    named = vocabulary.read(study)
    summaries = {}
    suppressed: list[suppression.LayerSuppression] = []
    for n in ORDERS:
        found = progress.each(_find_by_layer(study, n, criteria))
        with files.replacing(folder / summary.detectors_name(n)) as file:

            def keep(detector: detectors.Detector, write: Any = file.write) -> None:
                write(strict_json.to_line(detector))
                note(detector)

            if n == 1 and model is not None:
                projected = _vocabulary(study, model, named)
                found = _suppressing(
                    found, keep, study, model, projected, settings, suppressed
                )
            else:
                found = _keeping(found, keep, named.pieces.__getitem__)
            summaries[str(n)] = _summarize(study, n, found, criteria)
    if model is None:
        return Sections(summaries, None)
    return Sections(summaries, suppression.summarize(suppressed, settings))


def _find_by_layer(
    study: Study, n: int, criteria: thresholds.Criteria
) -> Iterator[detectors.LayerDetectors]:
    ends, settings = candidates.layer_ends(study, n), study.identity.settings
    rule = thresholds.CandidateRule(
        coverage_share=Fraction(str(settings.candidate_share)),
        most_ngrams=settings.candidate_coverage,
    )
    for layer in study.asked_layers:
        first, last = ends[layer - 1] if layer else 0, ends[layer]
        blocks = candidates.read_blocks(study, n, int(first), int(last))
        counts = detectors.LayerCounts(
            layer,
            study.read_layer("ngram_coverage", layer)[n - 1],
            study.read_layer("ngram_activation_count", layer)[n - 1],
            (detectors.Candidates(**block) for block in blocks),
        )
        yield detectors.find_detectors(counts, criteria, rule)


def _keeping(
    found: Iterator[detectors.LayerDetectors], keep: Keep, piece: Callable[[int], str]
) -> Iterator[detectors.LayerDetectors]:
    """Keeps the record of each detector as its layer passes through."""
    for layer in found:
        for detector in detectors.make_records(layer, piece):
            keep(detector)
        yield layer


def _suppressing(
    found: Iterator[detectors.LayerDetectors],
    keep: Keep,
    study: Study,
    model: Store,
    projected: projections.Vocabulary,
    settings: suppression.Settings,
    suppressed: list[suppression.LayerSuppression],
) -> Iterator[detectors.LayerDetectors]:
    """Does the same with what token detectors write, and adds to `suppressed` what it comes to."""
    for layer in found:
        kernel = np.zeros((0, 0))
        if len(layer.neuron):
            kernel = model.read_layer(layer.layer)["feed_forward"]["fc2"]["kernel"]
        alive = _alive(study, layer.layer)
        suppressed.append(
            suppression.layer_suppression(
                layer, kernel, alive, projected, settings, keep
            )
        )
        yield layer


def _summarize(
    study: Study,
    n: int,
    found: Iterator[detectors.LayerDetectors],
    criteria: thresholds.Criteria,
) -> dict[str, Any]:
    layers = study.asked_layers
    return ensembles.summarize(
        n=n,
        model_layers=study.identity.model.config.num_hidden_layers,
        layers=layers,
        coverage=(study.read_layer("ngram_coverage", i)[n - 1] for i in layers),
        alive=(_alive(study, layer) for layer in layers),
        found=found,
        criteria=criteria,
    )


def _vocabulary(
    study: Study, model: Store, named: vocabulary.Vocabulary
) -> projections.Vocabulary:
    """The rows of the unembedding that mean something, and how often each token occurs."""
    embed = model.read_embed()
    return projections.Vocabulary(
        unembedding=embed["token_embedding"][: named.real],
        project_out=embed.get("project_out", {}).get("kernel"),
        occurrences=np.bincount(_text_tokens(study), minlength=named.real),
        piece=named.pieces.__getitem__,
    )


def _text_tokens(study: Study) -> np.ndarray:
    """All tokens of the study that are neither padding nor special, int32[tokens]."""
    tokens = study.read("tokens")
    lengths = study.read("window_length")
    valid = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    special = np.isin(tokens, study.identity.special_tokens)
    return tokens[valid & ~special]


def _alive(study: Study, layer: int) -> np.ndarray:
    return study.read_layer("activation_count", layer).sum(axis=0) > 0

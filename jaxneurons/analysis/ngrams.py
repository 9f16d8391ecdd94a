"""A study's coverage and candidates in; detectors, ensembles and suppression out (paper §4, Appendix A)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxneurons.stats import (
    detectors,
    ensembles,
    projections,
    suppression,
    thresholds,
)
from jaxneurons.store import Store
from jaxneurons.study import Study
from jaxneurons.study_contents import ORDERS, read_vocabulary


class Found(NamedTuple):
    """What is found.

    Attributes:
        detectors: lines of detectors_{n}.jsonl, by n.
        ngrams: section `ngrams` of summary.json; None where none were counted.
        suppression: section `suppression`; None without a model, or without n-grams.
    """

    detectors: dict[int, list[Any]]
    ngrams: dict[str, Any] | None
    suppression: dict[str, Any] | None


def find(
    record: Study,
    model: Store | None,
    criteria: thresholds.Criteria,
    settings: suppression.Settings,
) -> Found:
    """Finds the detectors of every layer asked for, and with a model what those of tokens write."""
    if not record.counts_ngrams:
        return Found({}, None, None)
    found = {n: _find_order(record, n, criteria) for n in ORDERS}
    summaries = {str(n): _summarize(record, n, found[n], criteria) for n in ORDERS}
    if model is None:
        return Found(found, summaries, None)
    layers = list(_suppression_by_layer(record, model, found[1], settings))
    found[1] = [detector for layer in layers for detector in layer.detectors]
    return Found(found, summaries, suppression.summarize(layers, settings))


def _find_order(
    record: Study, n: int, criteria: thresholds.Criteria
) -> list[detectors.Detector]:
    pieces, _ = read_vocabulary(record)
    layer_of = record.read(f"candidate_{n}_layer")
    every = {
        name: record.read(f"candidate_{n}_{name}")
        for name in detectors.Candidates._fields
    }
    found = []
    for layer in record.asked_layers:
        first, last = np.searchsorted(layer_of, [layer, layer + 1]).tolist()
        mine = {name: column[first:last] for name, column in every.items()}
        counts = detectors.LayerCounts(
            layer,
            record.read_layer("ngram_coverage", layer)[n - 1],
            record.read_layer("ngram_activation_count", layer)[n - 1],
            detectors.Candidates(**mine),
        )
        found += detectors.find_detectors(counts, criteria, pieces.__getitem__)
    return found


def _summarize(
    record: Study,
    n: int,
    found: list[detectors.Detector],
    criteria: thresholds.Criteria,
) -> dict[str, Any]:
    layers = record.asked_layers
    return ensembles.summarize(
        n=n,
        model_layers=record.manifest["model"]["config"]["num_hidden_layers"],
        layers=layers,
        coverage=np.stack(
            [record.read_layer("ngram_coverage", layer)[n - 1] for layer in layers]
        ),
        alive=np.stack([_alive(record, layer) for layer in layers]),
        found=found,
        criteria=criteria,
    )


def _suppression_by_layer(
    record: Study,
    model: Store,
    found: list[detectors.Detector],
    settings: suppression.Settings,
) -> Iterator[suppression.LayerSuppression]:
    vocabulary = _vocabulary(record, model)
    for layer in record.asked_layers:
        mine = [detector for detector in found if detector["layer"] == layer]
        kernel = np.zeros((0, 0))
        if mine:
            kernel = model.read_layer(layer)["feed_forward"]["fc2"]["kernel"]
        yield suppression.layer_suppression(
            layer, mine, kernel, _alive(record, layer), vocabulary, settings
        )


def _vocabulary(record: Study, model: Store) -> projections.Vocabulary:
    """The rows of the unembedding that mean something, and how often each token occurs."""
    pieces, real = read_vocabulary(record)
    embed = model.read_embed()
    return projections.Vocabulary(
        unembedding=embed["token_embedding"][:real],
        project_out=embed.get("project_out", {}).get("kernel"),
        occurrences=np.bincount(_text_tokens(record), minlength=real),
        piece=pieces.__getitem__,
    )


def _text_tokens(record: Study) -> np.ndarray:
    """All tokens of the study that are neither padding nor special, int32[tokens]."""
    tokens = record.read("tokens")
    lengths = record.read("window_length")
    valid = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    special = np.isin(tokens, record.manifest["special_tokens"])
    return tokens[valid & ~special]


def _alive(record: Study, layer: int) -> np.ndarray:
    return record.read_layer("activation_count", layer).sum(axis=0) > 0

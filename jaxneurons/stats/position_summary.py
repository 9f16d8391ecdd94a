"""The numbers behind the figures of positional neurons (paper §5, Figures 7-11 and 16).

In: the records of a layer's positional neurons, then the layers of a study. Out: section
`positions` of `summary.json`, as plain JSON values.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxneurons.counting import statistics
from jaxneurons.stats import position_information, position_records, position_types


def summarize_layer(
    layer: int,
    records: Sequence[dict[str, Any]],
    examples: Sequence[dict[str, Any]],
    positions: int,
) -> dict[str, Any]:
    """Counts a layer's positional neurons and joins the ranges of its strong oscillatory ones.

    Args:
        layer: the layer's index in the model.
        records: its positional neurons, as in `positional.jsonl`.
        examples: its neuron of most information of each type and strength, with its pattern.
        positions: T.
    """
    counts = {
        kind: dict.fromkeys(position_types.STRENGTHS, 0)
        for kind in position_types.TYPES
    }
    for record in records:
        counts[record["type"]][record["strength"]] += 1
    summary: dict[str, Any] = {
        "layer": layer,
        "positional": len(records),
        "counts": counts,
        "median_correlation": _median_correlation(records),
        "strong_oscillatory": _join_ranges(records, positions),
        "examples": list(examples),
    }
    if records and "positional_after_bias" in records[0]:
        kept = sum(record["positional_after_bias"] for record in records)
        summary["positional_after_bias"] = kept
    if records and "null" in records[0]:
        chance = sum(record["null"]["explained_by_chance"] for record in records)
        summary["explained_by_chance"] = chance
    return summary


def summarize(
    layers: Sequence[dict[str, Any]],
    domains: Sequence[str],
    windows: Sequence[int],
    positions: int,
    criteria: position_types.PositionCriteria,
) -> dict[str, Any]:
    """Joins the summaries of the layers to the section `positions` of `summary.json`.

    Args:
        layers: `LayerPositions.summary` of each layer, lowest first.
        domains: their names.
        windows: full windows of each domain.
        positions: T.
        criteria: the thresholds that the layers were analyzed with.
    """
    windows = [int(number) for number in windows]
    bias = position_information.information_bias(sum(windows))
    return {
        "domains": [
            {"name": name, "full_windows": number}
            for name, number in zip(domains, windows, strict=True)
        ],
        "full_windows": sum(windows),
        "positions": positions,
        "criteria": dataclasses.asdict(criteria),
        "bias": position_records.number(bias),
        "few_windows": sum(windows) < criteria.reliable_windows,
        "warning": _warning(layers, sum(windows), bias, criteria),
        "positional": sum(layer["positional"] for layer in layers),
        "counts": {
            kind: {
                strength: sum(layer["counts"][kind][strength] for layer in layers)
                for strength in position_types.STRENGTHS
            }
            for kind in position_types.TYPES
        },
        "examples": _clearest_of_study(layers),
        "ranges_layer": _layer_of_most_ranges(layers),
        "layers": [
            {name: value for name, value in layer.items() if name != "examples"}
            for layer in layers
        ],
    }


def _median_correlation(
    records: Sequence[dict[str, Any]],
) -> list[list[float | None]] | None:
    """Over a layer's positional neurons, between each pair of domains; None without any."""
    if not records:
        return None
    matrices = np.array([record["correlation"] for record in records], np.float64)
    known = np.ma.masked_invalid(matrices)
    medians = np.ma.filled(np.ma.median(known, axis=0), np.nan)
    return [[position_records.number(value) for value in row] for row in medians]


def _join_ranges(records: Sequence[dict[str, Any]], positions: int) -> dict[str, Any]:
    """The strong oscillatory neurons of a layer by their first range, and what they cover."""
    oscillating = sorted(
        (record for record in records if record["ranges"]),
        key=lambda record: record["ranges"],
    )
    neurons = [record["neuron"] for record in oscillating]
    ranges = [record["ranges"] for record in oscillating]
    union, share, redundant = position_types.cover(ranges, positions)
    return {
        "neurons": neurons,
        "ranges": ranges,
        "union": union,
        "covered_share": share,
        "redundant": list(itertools.compress(neurons, redundant)),
    }


def _clearest_of_study(layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An example of each type and strength there is, types in their order, strong first."""
    candidates = [example for layer in layers for example in layer["examples"]]
    chosen = []
    for kind, strength in itertools.product(
        position_types.TYPES, position_types.STRENGTHS
    ):
        of_kind = [
            example
            for example in candidates
            if (example["type"], example["strength"]) == (kind, strength)
        ]
        if of_kind:
            chosen.append(max(of_kind, key=lambda one: one["mutual_information"]))
    return chosen


def _layer_of_most_ranges(layers: Sequence[dict[str, Any]]) -> int | None:
    """The layer with most strong oscillatory neurons, the lowest of equals; None without any."""
    most = max(layers, key=lambda layer: len(layer["strong_oscillatory"]["neurons"]))
    return most["layer"] if most["strong_oscillatory"]["neurons"] else None


def _warning(
    layers: Sequence[dict[str, Any]],
    windows: int,
    bias: float,
    criteria: position_types.PositionCriteria,
) -> str | None:
    """What a reader has to know where the windows are few; None where they are enough."""
    if windows >= criteria.reliable_windows:
        return None
    if windows < statistics.FEWEST_WINDOWS:
        return (
            f"{windows} full windows, fewer than {statistics.FEWEST_WINDOWS}: "
            "mutual information means nothing, and no neuron is called positional"
        )
    found = sum(layer["positional"] for layer in layers)
    kept = sum(layer.get("positional_after_bias", 0) for layer in layers)
    return (
        f"{windows} full windows, fewer than {criteria.reliable_windows}: "
        f"chance adds about {bias:.4f} nats to the mutual information; with that taken "
        f"off, {kept} of {found} positional neurons stay above "
        f"{criteria.information_threshold:g}"
    )

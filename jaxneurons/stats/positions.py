"""The positional neurons of a layer (paper §5).

In: a layer's position counts by domain and its neurons' mutual information. Out: a record of each positional neuron (a line of `positional.jsonl`), and the
layer's numbers for the figures, as plain JSON values. One layer is held at a time.

Only full windows are counted. A domain with fewer than 2 of them has no information of
its own (NaN, null in JSON), but its windows count in the pooled value. With fewer than 2
over all domains the pooled value is NaN, and no neuron is positional.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.stats import (
    position_information,
    position_records,
    position_summary,
    position_types,
)

# At T = 2048 the float64 values of a block take 2 MiB, which caches hold.
NEURONS_PER_BLOCK = 128
# An example is for drawing, and more digits than these cannot be seen.
EXAMPLE_DECIMALS = 6


class LayerPositions(NamedTuple):
    """What one layer's counts say.

    Attributes:
        records: a JSON object a positional neuron.
        summary: the layer's JSON object, for `position_summary.summarize`.
    """

    records: list[dict[str, Any]]
    summary: dict[str, Any]


def analyze_layer(
    layer: int,
    count: np.ndarray,
    windows: Sequence[int],
    information: np.ndarray,
    criteria: position_types.PositionCriteria,
    null: position_information.Null | None = None,
) -> LayerPositions:
    """Finds and describes the positional neurons of one layer, a block of them at a time.

    Args:
        layer: the layer's index in the model.
        count: unsigned integer[domain, T, F], full windows in which a neuron is active. Read as
            `np.asarray(count[:, :, a:b])`, each part once, so a view on an array on disk will do.
        windows: full windows of each domain.
        information: float64[domain + 1, F], mutual information in nats, the last row over all domains.
        criteria: the thresholds.
        null: draws to compare the pooled information with, or none.

    Raises:
        StudyError: a count is larger than its domain's number of full windows.
    """
    _, positions, neurons = count.shape
    windows = [int(number) for number in windows]
    records: list[dict[str, Any]] = []
    examples: dict[tuple[str, str], dict[str, Any]] = {}
    for first in range(0, neurons, NEURONS_PER_BLOCK):
        block = np.asarray(count[:, :, first : first + NEURONS_PER_BLOCK])
        _check_counts(layer, block, windows)
        values = information[:, first : first + NEURONS_PER_BLOCK]
        chosen = np.flatnonzero(values[-1] > criteria.information_threshold)
        patterns = np.ascontiguousarray(np.moveaxis(block[:, :, chosen], -1, 0))
        for offset, pattern in zip(chosen, patterns, strict=True):
            record = {"layer": layer, "neuron": first + int(offset)}
            record |= position_records.describe_neuron(
                pattern, windows, values[:, offset], criteria, null
            )
            records.append(record)
            _keep_clearest(examples, record, pattern, windows)
    summary = position_summary.summarize_layer(
        layer, records, list(examples.values()), positions
    )
    return LayerPositions(records, summary)


def _check_counts(layer: int, block: np.ndarray, windows: Sequence[int]) -> None:
    if len(block) != len(windows):
        raise errors.StudyError(
            f"layer {layer}: position_count has {len(block)} domains, "
            f"but full windows are given for {len(windows)}"
        )
    for domain, largest in enumerate(block.max(axis=(1, 2), initial=0)):
        if largest > windows[domain]:
            raise errors.StudyError(
                f"layer {layer}: position_count reaches {largest} in domain {domain}, "
                f"which has {windows[domain]} full windows"
            )


def _keep_clearest(
    examples: dict[tuple[str, str], dict[str, Any]],
    record: dict[str, Any],
    pattern: np.ndarray,
    windows: Sequence[int],
) -> None:
    """Keeps the neuron of most information of each type and strength, pattern [domain, T]."""
    key = record["type"], record["strength"]
    best = examples.get(key)
    if best and best["mutual_information"] >= record["mutual_information"]:
        return
    frequency = pattern.sum(axis=0, dtype=np.int64) / sum(windows)
    kept = ("layer", "neuron", "mutual_information", "type", "strength")
    examples[key] = {name: record[name] for name in kept}
    examples[key]["frequency"] = np.round(frequency, EXAMPLE_DECIMALS).tolist()

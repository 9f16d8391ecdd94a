"""What is told of one positional neuron: a line of `positional.jsonl`, as plain JSON values.

In: how many full windows the neuron fired in, by domain and position. Out: its type,
ranges, information with and without what chance adds, and how alike the domains are.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxneurons.counting import statistics
from jaxneurons.stats import position_information, position_types


def describe_neuron(
    count: np.ndarray,
    windows: Sequence[int],
    information: np.ndarray,
    criteria: position_types.PositionCriteria,
    null: position_information.Null | None,
) -> dict[str, Any]:
    """Builds the record of one positional neuron, all of it but its layer and index.

    Args:
        count: integer[domain, T], full windows in which the neuron is active.
        windows: full windows of each domain.
        information: float64[domain + 1], its mutual information, the last over all domains.
        criteria: the thresholds.
        null: draws to compare the pooled information with, or none.
    """
    pooled, total = count.sum(axis=0, dtype=np.int64), sum(windows)
    kind, strength = position_types.classify(pooled, total, criteria)
    ranges: position_types.Ranges = []
    if (kind, strength) == ("oscillatory", "strong"):
        ranges = position_types.indicated_ranges(pooled, total, criteria)
    corrected = float(information[-1]) - position_information.information_bias(total)
    record: dict[str, Any] = {
        "mutual_information": float(information[-1]),
        "mutual_information_corrected": corrected,
        "mutual_information_by_domain": [number(value) for value in information[:-1]],
        "frequency": int(pooled.sum()) / (total * len(pooled)),
        "type": kind,
        "strength": strength,
        "ranges": ranges,
        "correlation": correlate_domains(count, windows),
    }
    if total < criteria.reliable_windows:
        record["positional_after_bias"] = corrected > criteria.information_threshold
    if null is not None:
        record["null"] = _compare_with_null(record, total, len(pooled), null)
    return record


def correlate_domains(
    count: np.ndarray, windows: Sequence[int]
) -> list[list[float | None]]:
    """Correlates (Pearson) one neuron's frequency by position between all domains.

    Every position counts, position 0 too.

    Args:
        count: integer[domain, T].
        windows: full windows of each domain.

    Returns:
        A symmetric matrix; None where either pattern is constant or from fewer than 2 windows.
    """
    usable = np.ptp(count, axis=1) > 0
    usable &= np.asarray(windows) >= statistics.FEWEST_WINDOWS
    centred = count - count.mean(axis=1, keepdims=True)
    length = np.where(usable, np.sqrt(np.sum(centred**2, axis=1)), 1.0)
    unit = centred / length[:, None]
    matrix = np.clip(unit @ unit.T, -1.0, 1.0)
    matrix[~np.logical_and.outer(usable, usable)] = np.nan
    return [[number(value) for value in row] for row in matrix]


def number(value: float) -> float | None:
    """A float as JSON has it, which knows no NaN."""
    return None if math.isnan(value) else float(value)


def _compare_with_null(
    record: dict[str, Any],
    windows: int,
    positions: int,
    null: position_information.Null,
) -> dict[str, Any]:
    """How far chance alone gets; it explains the value if any draw reaches it."""
    drawn = position_information.null_information(
        record["frequency"], windows, positions, null
    )
    reached = int(np.count_nonzero(drawn >= record["mutual_information"]))
    return {
        "largest": float(drawn[-1]),
        "p_value": (reached + 1) / (null.draws + 1),
        "explained_by_chance": reached > 0,
    }

"""A study's position counts in; positional neurons and their summary out (paper §5)."""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxneurons.stats import (
    position_information,
    position_summary,
    position_types,
    positions,
)
from jaxneurons.studies.contents import domains
from jaxneurons.studies.study import Study


def find_by_layer(
    record: Study,
    criteria: position_types.PositionCriteria,
    null: position_information.Null | None,
) -> Iterator[positions.LayerPositions]:
    """Finds the positional neurons of every layer asked for, one layer in memory at a time."""
    windows = [domain["full_windows"] for domain in domains(record)]
    for layer in record.asked_layers:
        count = record.read_layer("position_count", layer)
        information = record.read_layer("mutual_information", layer)
        yield positions.analyze_layer(
            layer, count, windows, information, criteria, null
        )


def summarize(
    record: Study,
    layers: Sequence[dict[str, Any]],
    criteria: position_types.PositionCriteria,
) -> dict[str, Any]:
    """Section `positions` of summary.json, from the summaries of the layers."""
    described = domains(record)
    return position_summary.summarize(
        layers,
        [domain["name"] for domain in described],
        [domain["full_windows"] for domain in described],
        record.manifest["settings"]["window"],
        criteria,
    )

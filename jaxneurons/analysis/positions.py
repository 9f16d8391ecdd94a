"""A study's position counts in; positional neurons and their summary out (paper §5)."""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxneurons.stats import (
    position_information,
    position_summary,
    position_types,
    positions,
)
from jaxneurons.studies.directory import Study


def find_by_layer(
    study: Study,
    criteria: position_types.PositionCriteria,
    null: position_information.Null | None,
) -> Iterator[positions.LayerPositions]:
    """Finds the positional neurons of every layer asked for, one layer in memory at a time."""
    windows = [domain.full_windows for domain in study.identity.corpus]
    for layer in study.asked_layers:
        count = study.read_layer("position_count", layer)
        information = study.read_layer("mutual_information", layer)
        yield positions.analyze_layer(
            layer, count, windows, information, criteria, null
        )


def summarize(
    study: Study,
    layers: Sequence[dict[str, Any]],
    criteria: position_types.PositionCriteria,
) -> dict[str, Any]:
    """Section `positions` of summary.json, from the summaries of the layers."""
    domains = study.identity.corpus
    return position_summary.summarize(
        layers,
        [domain.name for domain in domains],
        [domain.full_windows for domain in domains],
        study.identity.settings.window,
        criteria,
    )

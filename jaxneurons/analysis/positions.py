"""A study's position counts in; array `mutual_information`, records and summary out (paper §5)."""

from typing import Any, NamedTuple

from jaxneurons.stats import (
    position_information,
    position_summary,
    position_types,
    positions,
)
from jaxneurons.study import Study
from jaxneurons.study_contents import domains


class Positional(NamedTuple):
    """What is found: lines of positional.jsonl, and section `positions` of summary.json."""

    records: list[dict[str, Any]]
    summary: dict[str, Any]


def find(
    record: Study,
    criteria: position_types.PositionCriteria,
    null: position_information.Null | None,
) -> Positional:
    """Finds the positional neurons of every layer asked for, one layer in memory at a time.

    In a study that is not complete it fills the array `mutual_information` on the way.
    """
    described = domains(record)
    windows = [domain["full_windows"] for domain in described]
    records, summaries = [], []
    for layer in record.asked_layers:
        count = record.read_layer("position_count", layer)
        found = positions.analyze_layer(layer, count, windows, criteria, null)
        if not record.complete:
            information = found.mutual_information
            record.write_layer("mutual_information", layer, information)
        records += found.records
        summaries.append(found.summary)
    return Positional(
        records,
        position_summary.summarize(
            summaries,
            [domain["name"] for domain in described],
            windows,
            record.manifest["settings"]["window"],
            criteria,
        ),
    )

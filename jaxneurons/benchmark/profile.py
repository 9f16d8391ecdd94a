"""Where the time of a forward pass goes: a workload in, one contender out; its result in, shares and a table out."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxneurons import errors
from jaxneurons.benchmark import table
from jaxneurons.benchmark.processes import Contender, Result
from jaxneurons.benchmark.workload import Workload

# JAX leaves out of a trace what comes after so many.
MOST_EVENTS = 1_000_000
NAME = "a traced forward pass"


def contender(workload: Workload, trace: pathlib.Path) -> Contender:
    """One process that counts everything and writes its trace."""
    return Contender(NAME, "jaxneurons.benchmark.trace", (workload, trace))


def summarize(workload: Workload, results: Mapping[str, Result]) -> dict[str, Any]:
    """Each part's seconds of all threads and share of all parts', medians over rounds, the largest part first.

    Raises:
        UsageError: a trace lacks events.
    """
    events = max(found["events"] for found in results[NAME].rounds)
    if events >= MOST_EVENTS:
        raise errors.UsageError(
            f"tokens {workload.tokens}, layers {workload.config.num_hidden_layers}: a trace holds "
            f"{MOST_EVENTS} events and these make more. Choose fewer."
        )
    rounds = [found["parts"] for found in results[NAME].rounds]
    names = {name for found in rounds for name in found}
    parts = {
        name: {
            "seconds": float(np.median([found.get(name, 0.0) for found in rounds])),
            "share": float(np.median([_share(found, name) for found in rounds])),
        }
        for name in names
    }
    by_share = sorted(parts, key=lambda name: -parts[name]["share"])
    return {"parts": {name: parts[name] for name in by_share}}


def _share(found: Mapping[str, float], name: str) -> float:
    return found.get(name, 0.0) / sum(found.values())


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The table of parts and the three largest."""
    rows = [
        (name, f"{part['seconds']:.2f}", f"{part['share']:.1%}")
        for name, part in summary["parts"].items()
    ]
    largest = ", ".join(list(summary["parts"])[:3])
    return (
        f"{table.markdown(('part', 's of all threads', 'share'), rows)}\n\n"
        f"Largest: {largest}."
    )

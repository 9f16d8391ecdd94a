"""How time and memory grow with text and with depth, everything counted: the workload halved again and again.

A workload in, contenders out; results of `processes.alternate` in, fitted growth and a table out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxneurons.benchmark import table
from jaxneurons.benchmark.processes import Contender, Result
from jaxneurons.benchmark.workload import Workload

MOST_POINTS = 4


def workloads(workload: Workload) -> dict[str, list[Workload]]:
    """The same workload with fewer tokens, and its smallest with fewer layers; each doubles up to the whole."""
    batch = workload.window * workload.windows_per_batch
    by_tokens = [
        dataclasses.replace(workload, tokens=batch * batches)
        for batches in _doubling(workload.batches)
    ]
    smallest = by_tokens[0]
    by_layers = [
        dataclasses.replace(
            smallest, config=dataclasses.replace(smallest.config, num_hidden_layers=n)
        )
        for n in _doubling(workload.config.num_hidden_layers)
    ]
    return {"tokens": by_tokens, "layers": by_layers}


def _doubling(largest: int) -> list[int]:
    """At most `MOST_POINTS` numbers from small to `largest`, each half of the next, rounded down."""
    numbers = [largest >> step for step in range(MOST_POINTS)]
    return sorted(number for number in numbers if number)


def contenders(workload: Workload) -> list[Contender]:
    """Each different workload once."""
    different = {_name(w): w for ws in workloads(workload).values() for w in ws}
    return [
        Contender(name, "jaxneurons.benchmark.ours", (each, "everything"))
        for name, each in different.items()
    ]


def _name(workload: Workload) -> str:
    return f"{workload.tokens} tokens, {workload.config.num_hidden_layers} layers"


def summarize(workload: Workload, results: Mapping[str, Result]) -> dict[str, Any]:
    """For "tokens" and "layers": sizes, seconds, peak bytes, and how they grow."""
    summary = {}
    for axis, points in workloads(workload).items():
        measured = [results[_name(point)] for point in points]
        sizes = [
            point.tokens if axis == "tokens" else point.config.num_hidden_layers
            for point in points
        ]
        wall, cpu = (
            [float(np.median(result.seconds(clock))) for result in measured]
            for clock in ("wall", "cpu")
        )
        summary[axis] = {
            "sizes": sizes,
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "peak_bytes": [result.peak_bytes for result in measured],
            "wall_exponent": growth_exponent(sizes, wall),
            "cpu_exponent": growth_exponent(sizes, cpu),
        }
    return summary


def growth_exponent(sizes: list[int], seconds: list[float]) -> float | None:
    """The e of seconds ~ size ** e, by least squares on logarithms; None for a single size."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def to_markdown(summary: Mapping[str, Any]) -> str:
    """A table for each axis and a line that says how time grows along it."""
    sections = []
    for axis, found in summary.items():
        columns = (
            found[key] for key in ("sizes", "wall_seconds", "cpu_seconds", "peak_bytes")
        )
        rows = [
            (
                str(size),
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{1e6 * wall / size:.1f}",
                f"{1e6 * cpu / size:.1f}",
                f"{peak / 2**30:.2f}",
            )
            for size, wall, cpu, peak in zip(*columns, strict=True)
        ]
        header = (axis, "s", "CPU s", "µs each", "CPU µs each", "peak GiB")
        sections.append(f"{table.markdown(header, rows)}\n\n{_growth(axis, found)}")
    return "\n\n".join(sections)


def _growth(axis: str, found: Mapping[str, Any]) -> str:
    if found["wall_exponent"] is None:
        return f"One number of {axis}: no growth to fit."
    each = [
        100
        * (found[key][-1] / found[key][0] * found["sizes"][0] / found["sizes"][-1] - 1)
        for key in ("wall_seconds", "cpu_seconds")
    ]
    return (
        f"Seconds grow as {axis} ** {found['wall_exponent']:.3f} (CPU seconds {found['cpu_exponent']:.3f}); "
        f"from the smallest to the largest, seconds for each of the {axis} change by {each[0]:+.1f} % "
        f"(CPU seconds {each[1]:+.1f} %)."
    )

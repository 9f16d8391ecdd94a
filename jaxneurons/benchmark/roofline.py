"""What share of this machine's matrix-product ceiling each part of a layer reaches, and the forward pass.

A workload in, two contenders out; their results in, rates, shares and a table out. Every share compares
what was measured in the same round.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons.benchmark import table
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.processes import Contender, Result
from jaxneurons.benchmark.workload import Workload

CLOCKS = ("wall", "cpu")
NAME = "parts of a layer"
WHOLE = "layer"
FORWARD = "forward pass, nothing counted"


def contenders(workload: Workload) -> list[Contender]:
    """One process that times the ceiling and the parts of a layer, one that runs the whole forward pass."""
    return [
        Contender(NAME, "jaxneurons.benchmark.layer_parts", (workload,)),
        Contender(FORWARD, "jaxneurons.benchmark.ours", (workload, "nothing")),
    ]


def summarize(workload: Workload, results: Mapping[str, Result]) -> dict[str, Any]:
    """The ceiling, and for each part its operations, rate, share of the ceiling and share of the layer's time.

    Rates are per second of wall time; `cpu_ceiling_share` compares CPU seconds instead.
    """
    rounds = results[NAME].rounds
    operations = workloads.layer_products(workload)
    operations[WHOLE] = sum(operations.values())
    layers = workload.config.num_hidden_layers * workload.batches
    operations[FORWARD] = layers * operations[WHOLE]
    of_layer = set(operations) - {FORWARD}
    for name in (workloads.PROMOTED, workloads.PROMOTED_PRODUCT):
        operations[name] = workloads.promoted_product(workload)
    seconds = {
        name: {
            clock: np.array([r["parts"][name][f"{clock}_seconds"] for r in rounds])
            for clock in CLOCKS
        }
        for name in rounds[0]["parts"]
    }
    seconds[FORWARD] = {c: np.array(results[FORWARD].seconds(c)) for c in CLOCKS}
    ceiling = {clock: _ceiling(rounds, clock) for clock in CLOCKS}
    whole = seconds[WHOLE]["wall"]
    parts = {}
    for name, count in operations.items():
        wall, cpu = (seconds[name][clock] for clock in CLOCKS)
        parts[name] = {
            "operations": count,
            "wall_seconds": float(np.median(wall)),
            "cpu_seconds": float(np.median(cpu)),
            "rate": float(np.median(count / wall)),
            "ceiling_share": float(np.median(count / wall / ceiling["wall"])),
            "cpu_ceiling_share": float(np.median(count / cpu / ceiling["cpu"])),
            "layer_share": float(np.median(wall / whole)) if name in of_layer else None,
        }
    return {"ceiling": float(np.median(ceiling["wall"])), "parts": parts}


def _ceiling(rounds: Sequence[Mapping[str, Any]], clock: str) -> np.ndarray:
    """Each round's best rate of a square matrix product, operations a second."""
    return np.array(
        [
            max(
                2 * int(size) ** 3 / seconds[f"{clock}_seconds"]
                for size, seconds in measured["ceiling"].items()
            )
            for measured in rounds
        ]
    )


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The ceiling and the table of parts."""
    header = (
        "part",
        "GFLOP",
        "ms",
        "GFLOP/s",
        "of ceiling",
        "by CPU s",
        "of the layer's time",
    )
    rows = [
        (
            name,
            f"{part['operations'] / 1e9:.1f}",
            f"{1e3 * part['wall_seconds']:.1f}",
            f"{part['rate'] / 1e9:.0f}",
            f"{part['ceiling_share']:.0%}",
            f"{part['cpu_ceiling_share']:.0%}",
            "–" if part["layer_share"] is None else f"{part['layer_share']:.0%}",
        )
        for name, part in summary["parts"].items()
    ]
    return (
        f"Matrix-product ceiling: {summary['ceiling'] / 1e9:.0f} GFLOP/s.\n\n"
        f"{table.markdown(header, rows)}"
    )

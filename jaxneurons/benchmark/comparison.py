"""Ours beside other people's forward passes: who competes, and what their measurements say.

A workload in, contenders out; results of `processes.alternate` in, medians, ratios and a table out. Ratios
are medians over rounds of what was measured in the same round, so that a slow minute hits both.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons.benchmark import table
from jaxneurons.benchmark.processes import Contender, Result
from jaxneurons.benchmark.workload import Workload

OURS = {
    "ours, nothing counted": "nothing",
    "ours, activations": "activations",
    "ours, positions too": "positions too",
    "ours, n-grams too": "n-grams too",
    "ours, everything": "everything",
}
PEERS = {
    "transformers, sdpa": "sdpa",
    "transformers, eager": "eager",
    "TransformerLens": "bridge",
}
NOTHING, _, POSITIONS, NGRAMS, EVERYTHING = OURS
REFERENCE = "transformers, sdpa"
CLOCKS = ("wall", "cpu")


def contenders(workload: Workload, peers_keep_memory: bool) -> list[Contender]:
    """Ours, and what is installed of the others.

    The others run as they come, or with `allocator.keep_freed_memory` in their processes too.
    """
    own = [
        Contender(name, "jaxneurons.benchmark.ours", (workload, counted))
        for name, counted in OURS.items()
    ]
    others = [
        Contender(
            name,
            "jaxneurons.benchmark.peers",
            (workload, attention),
            peers_keep_memory,
        )
        for name, attention in PEERS.items()
        if importlib.util.find_spec("torch")
        and (attention != "bridge" or importlib.util.find_spec("transformer_lens"))
    ]
    return own + others


def summarize(workload: Workload, results: Mapping[str, Result]) -> dict[str, Any]:
    """Medians by contender, ratios against `REFERENCE`, and the cost of n-grams and examples."""
    summary = {}
    for name, result in results.items():
        summary[name] = {
            "tokens_per_second": workload.tokens
            / float(np.median(result.seconds("wall"))),
            "peak_bytes": result.peak_bytes,
            "active_share": result.rounds[-1].get("active_share"),
        }
        for clock in CLOCKS:
            seconds = np.array(result.seconds(clock))
            summary[name][f"{clock}_seconds"] = float(np.median(seconds))
            if REFERENCE in results:
                ratios = np.array(results[REFERENCE].seconds(clock)) / seconds
                summary[name][f"{clock}_speed_ratio"] = float(np.median(ratios))
    return {
        "contenders": summary,
        **{
            f"{name}_percent": {
                clock: added_percent(results, part, before, clock) for clock in CLOCKS
            }
            for name, part, before in (
                ("ngram", NGRAMS, POSITIONS),
                ("example", EVERYTHING, NGRAMS),
            )
        },
        "layer_end_percent": layer_end_percent(results),
    }


def added_percent(
    results: Mapping[str, Result], part: str, before: str, clock: str
) -> float:
    """What a part adds to the pass that counts all before it, in percent of one that counts nothing."""
    with_part, without, forward = (
        np.array(results[name].seconds(clock)) for name in (part, before, NOTHING)
    )
    return float(np.median(100 * (with_part - without) / forward))


def layer_end_percent(results: Mapping[str, Result]) -> float:
    """CPU seconds of the ends of layers, nearly all for n-grams, in percent of a forward pass that counts nothing.

    Measured by itself: where the difference of two passes is lost in noise, this is not.
    """
    ends = [found["layer_end_cpu_seconds"] for found in results[EVERYTHING].rounds]
    return float(np.median(100 * np.array(ends) / results[NOTHING].seconds("cpu")))


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The table of a summary and its key line."""
    header = (
        "contender",
        "tokens/s",
        "s",
        "CPU s",
        "speed ratio",
        "by CPU s",
        "peak GiB",
    )
    rows = [_row(name, found) for name, found in summary["contenders"].items()]
    ngrams, examples = (
        [summary[f"{name}_percent"][clock] for clock in CLOCKS]
        for name in ("ngram", "example")
    )
    return (
        f"{table.markdown(header, rows)}\n\nSpeed ratios are against {REFERENCE}.\n\n"
        f"N-grams (n = 1, 2, 3 together) cost {ngrams[0]:.1f} % of the forward pass without them "
        f"({ngrams[1]:.1f} % by CPU seconds; the ends of layers by themselves "
        f"{summary['layer_end_percent']:.1f} %), examples {examples[0]:.1f} % ({examples[1]:.1f} %)."
    )


def _row(name: str, found: Mapping[str, Any]) -> Sequence[str]:
    ratios = [found.get(f"{clock}_speed_ratio") for clock in CLOCKS]
    return (
        name,
        f"{found['tokens_per_second']:.0f}",
        f"{found['wall_seconds']:.2f}",
        f"{found['cpu_seconds']:.2f}",
        *["–" if ratio is None else f"{ratio:.2f}" for ratio in ratios],
        f"{found['peak_bytes'] / 2**30:.2f}",
    )

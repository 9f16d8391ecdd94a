"""A whole benchmark: mode and workload in, a Markdown report out, with all numbers as JSON beside it."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxneurons import arrays, files
from jaxneurons.benchmark import comparison, machine, processes, roofline, scaling
from jaxneurons.benchmark.workload import Workload


class Mode(NamedTuple):
    """What is asked of a workload.

    Attributes:
        contenders: (workload, name of the module that makes the peers) to who is measured.
        summarize: (workload, results) to JSON values.
        to_markdown: these to a report.
    """

    contenders: Callable[[Workload, str], list[processes.Contender]]
    summarize: Callable[[Workload, Mapping[str, processes.Result]], dict[str, Any]]
    to_markdown: Callable[[Mapping[str, Any]], str]


MODES = {
    "comparison": Mode(
        comparison.contenders, comparison.summarize, comparison.to_markdown
    ),
    "scaling": Mode(
        lambda workload, peers: scaling.contenders(workload),
        scaling.summarize,
        scaling.to_markdown,
    ),
    "roofline": Mode(
        lambda workload, peers: [roofline.contender(workload)],
        roofline.summarize,
        roofline.to_markdown,
    ),
}


def run(
    mode: str,
    workload: Workload,
    peers: str,
    repeats: int,
    out: pathlib.Path | None,
    say: Callable[[str], None],
) -> str:
    """Measures and reports.

    Args:
        mode: a key of `MODES`.
        workload: what to run.
        peers: name of the module that makes other people's forward passes.
        repeats: rounds.
        out: JSON file to write, and beside it the report with the suffix ".md"; None writes nothing.
        say: called with a line about each step.

    Returns:
        The report.

    Raises:
        OutputExistsError: a file is in the way.
        InputOutputError: the operating system refuses a write.
        JaxneuronsError: a contender failed.
    """
    if out:
        files.refuse_existing(out, "a benchmark")
        files.refuse_existing(out.with_suffix(".md"), "a benchmark")
    contenders, summarize, to_markdown = MODES[mode]
    load = machine.load_average()
    results = processes.alternate(contenders(workload, peers), repeats, say)
    loads = [load, machine.load_average()]
    summary = summarize(workload, results)
    report = f"{_conditions(workload, repeats, loads)}\n\n{to_markdown(summary)}"
    if out:
        values = {
            "format_version": 1,
            "mode": mode,
            "machine": machine.describe() | {"load_averages": loads},
            "workload": dataclasses.asdict(workload),
            "summary": summary,
            "rounds": {name: result.rounds for name, result in results.items()},
        }
        files.write_atomically(out, arrays.to_json_bytes(values))
        files.write_atomically(out.with_suffix(".md"), f"{report}\n".encode())
    return report


def _conditions(workload: Workload, repeats: int, loads: list[float]) -> str:
    described = machine.describe()
    config = workload.config
    versions = [
        f"{name} {version}"
        for name, version in described["versions"].items()
        if version
    ]
    return (
        f"{described['processor']}, {described['cores']} cores, load average {loads[0]} before and "
        f"{loads[1]} after; {', '.join(versions)}.\n\n"
        f"{config.num_hidden_layers} layers, D = {config.hidden_size}, F = {config.ffn_dim}; "
        f"{workload.tokens} tokens in windows of {workload.window}, {workload.windows_per_batch} at a "
        f"time, {workload.dtype}; medians of {repeats}."
    )

"""A whole benchmark: mode and workload in, a Markdown report out, with all numbers as JSON beside it."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.benchmark import (
    comparison,
    machine,
    processes,
    profile,
    roofline,
    scaling,
    whole_process,
)
from jaxneurons.benchmark.workload import Workload
from jaxneurons.disk import files, strict_json


class Mode(NamedTuple):
    """What is asked of a workload.

    Attributes:
        contenders: workload to who is measured.
        summarize: (workload, results) to JSON values.
        to_markdown: these to a report.
        writes: files that contenders write.
    """

    contenders: Callable[[Workload], list[processes.Contender]]
    summarize: Callable[[Workload, Mapping[str, processes.Result]], dict[str, Any]]
    to_markdown: Callable[[Mapping[str, Any]], str]
    writes: tuple[pathlib.Path, ...] = ()


def comparison_mode(peers_keep_memory: bool) -> Mode:
    """Ours beside other people's; the arguments are those of `comparison.contenders`."""
    return Mode(
        lambda workload: comparison.contenders(workload, peers_keep_memory),
        comparison.summarize,
        comparison.to_markdown,
    )


def profile_mode(trace: pathlib.Path) -> Mode:
    """Where the time goes; the file `trace` is written."""
    return Mode(
        lambda workload: [profile.contender(workload, trace)],
        profile.summarize,
        profile.to_markdown,
        writes=(trace,),
    )


def whole_process_mode(script: pathlib.Path, folder: pathlib.Path) -> Mode:
    """Whole runs of study.py beside transformers; the folder, which is empty, takes what they read and write."""
    return Mode(
        lambda workload: whole_process.contenders(workload, script, folder),
        whole_process.summarize,
        whole_process.to_markdown,
    )


SCALING = Mode(scaling.contenders, scaling.summarize, scaling.to_markdown)
ROOFLINE = Mode(roofline.contenders, roofline.summarize, roofline.to_markdown)


def run(
    name: str,
    mode: Mode,
    workload: Workload,
    repeats: int,
    out: pathlib.Path | None,
    say: Callable[[str], None],
) -> str:
    """Measures and reports.

    Args:
        name: of the mode, for the JSON file and the report.
        mode: what to measure, and how to tell it.
        workload: what to run.
        repeats: rounds.
        out: JSON file to write, and beside it the report with the suffix ".md"; None writes nothing.
        say: called with a line about each step.

    Returns:
        The report.

    Raises:
        UsageError: two of the files would be one, or JAX cannot start.
        OutputExistsError: something is in the way.
        InputOutputError: the operating system refuses a write.
        JaxneuronsError: a contender failed.
    """
    own = (out, out.with_suffix(".md")) if out else ()
    _check_outputs([*own, *mode.writes])
    processes.check_jax()
    load = machine.load_average()
    results = processes.alternate(mode.contenders(workload), repeats, say)
    loads = [load, machine.load_average()]
    summary = mode.summarize(workload, results)
    report = (
        f"{_conditions(name, workload, repeats, loads)}\n\n{mode.to_markdown(summary)}"
    )
    if out:
        values = {
            "format_version": 1,
            "mode": name,
            "machine": machine.describe() | {"load_averages": loads},
            "workload": dataclasses.asdict(workload),
            "summary": summary,
            "rounds": {name: result.rounds for name, result in results.items()},
        }
        files.write_atomically(out, strict_json.to_bytes(values))
        files.write_atomically(out.with_suffix(".md"), f"{report}\n".encode())
    return report


def _check_outputs(outputs: Sequence[pathlib.Path]) -> None:
    """Looks before anything is measured: what takes minutes should not be lost for a place to put it."""
    names = [os.path.realpath(path) for path in outputs]
    if len(set(names)) < len(names):
        listing = ", ".join(map(str, outputs))
        raise errors.UsageError(
            f"{listing} name one file twice. Choose a file of its own for each."
        )
    for path in outputs:
        files.refuse_existing(path, "a measurement")
        if path.is_dir() or not path.parent.is_dir():
            raise errors.InputOutputError(
                f"cannot write {path}. Choose a new file in a directory that exists."
            )


def _conditions(name: str, workload: Workload, repeats: int, loads: list[float]) -> str:
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
        f"{name}: {config.num_hidden_layers} layers, D = {config.hidden_size}, F = {config.ffn_dim}; "
        f"{workload.tokens} tokens in windows of {workload.window}, {workload.windows_per_batch} at a "
        f"time, {workload.dtype}; medians of {repeats}."
    )

"""Processes that need not import again what takes seconds, one server of which serves a whole test process."""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

# Imports once, and forks a child for each process.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "convert.cached",
        "jaxneurons.ablation.ablate",
        "jaxneurons.explorer.write",
        "jaxneurons.run.study",
        "jaxneurons.training.export",
        "transformers.models.auto.tokenization_auto",
    ]
)


def run_main(
    command: Sequence[str], folder: pathlib.Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """A script and its arguments as the main program, from a folder; JAX reads no variable any more."""
    with tempfile.TemporaryDirectory() as temporary:
        streams = [pathlib.Path(temporary, name) for name in ("out", "err")]
        process = CONTEXT.Process(
            target=_main, args=(list(command), folder, dict(environment), streams)
        )
        process.start()
        process.join()
        out, err = (stream.read_text() for stream in streams)
    return subprocess.CompletedProcess(command, process.exitcode or 0, out, err)


def _main(
    command: list[str],
    folder: pathlib.Path,
    environment: dict[str, str],
    streams: list[pathlib.Path],
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")

"""The whole process that a user waits for, `scripts/study.py` beside transformers with counting hooks.

A workload in, contenders out, each of which starts a new process per round: a Hugging Face directory and text in;
arrays, findings and figures out, or of transformers the counts alone. Beside them is measured how fast JAX and
torch multiply matrices, on which the comparison depends.
"""

import importlib.util
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convert import export
from jaxneurons import demo, errors
from jaxneurons.benchmark import processes, products, table
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.processes import Contender, Result
from jaxneurons.benchmark.workload import Workload
from jaxneurons.store import random_model, reading, writing

OURS = "ours"
# By name, whether torch multiplies by oneDNN, which it does by itself.
PEERS = {"transformers, sdpa": True, "transformers, sdpa, without oneDNN": False}
# By name, the library that multiplies.
PRODUCTS = {"product, JAX": "jax", "product, torch": "torch"}
SIZE = 2048


def contenders(
    workload: Workload, script: pathlib.Path, folder: pathlib.Path
) -> list[Contender]:
    """Ours, which is study.py, and with torch theirs; the folder takes the model and what each process writes."""
    model = folder / "model"
    _write_model(workload, model)
    both = {
        "model": model,
        "dtype": workload.dtype,
        "window": workload.window,
        "max_tokens": workload.tokens,
        "windows_per_batch": workload.windows_per_batch,
    }
    # A cache of compiled programs is warm from the second study of a shape on; nothing else is kept.
    own = both | {
        "study": "{}/study",
        "cache": "{}/cache",
        "compilation_cache": folder / "programs",
        "suppression": False,
        "explorer": False,
    }
    flags = [
        *own.items(),
        *(("corpus", f"{n}={path}") for n, path in demo.sources(demo.RUNNING_TEXT)),
    ]
    given = [f"--{name}={value}" for name, value in flags]
    commands = {OURS: [str(script), *given]}
    if importlib.util.find_spec("torch"):
        for name, onednn in PEERS.items():
            peer = both | {"model": str(model), "out": "{}/counts.npz"}
            arguments = json.dumps(peer | {"onednn": onednn})
            commands[name] = ["-m", "jaxneurons.benchmark.whole_peer", arguments]
    return [
        *(Contender(n, __name__, (folder, command)) for n, command in commands.items()),
        *(
            Contender(name, products.__name__, (library, SIZE, workload.dtype))
            for name, library in PRODUCTS.items()
            if importlib.util.find_spec(library)
        ),
    ]


def make(folder: pathlib.Path, command: list[str]) -> Callable[[], dict[str, Any]]:
    """Runs a command of Python, once to compile and to read files into memory; `{}/` in it is a new folder."""

    def run() -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=folder) as new:
            before = _child_cpu()
            given = [each.replace("{}/", f"{new}/") for each in command]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *given],
                check=False,
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            found = {
                "wall_seconds": time.perf_counter() - began,
                "cpu_seconds": _child_cpu() - before,
                "peak": processes.peak_bytes(resource.RUSAGE_CHILDREN),
            }
            if done.returncode:
                raise errors.JaxneuronsError(done.stderr)
            said = pathlib.Path(new, "study", "study.json")
            if said.exists():
                content = json.loads(said.read_bytes())
                found["stages"] = content["seconds"]
        return found

    run()
    return run


def _child_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_model(workload: Workload, path: pathlib.Path) -> None:
    """A random model whose neurons are as unequally active as a trained one's, with the tokenizer of opt-1.9m."""
    config = workload.config
    store = path.with_name("store")
    with writing.Writer(store, config) as writer:
        for name, array in random_model.arrays(config):
            if name.endswith("feed_forward/fc1/bias"):
                # Its pre-activations have a standard deviation of about 1.
                deviation = workloads.WEIGHT_SCALE * config.hidden_size**0.5
                array = -workloads.make_thresholds(config) / np.float32(deviation)
            writer.write(name, array)
        writer.add_tokenizer(
            (demo.directory(demo.RUNNING_TEXT) / "tokenizer.json").read_bytes()
        )
        writer.publish({"random": 0})
    export.write_huggingface(reading.open_store(str(store)), path)


def summarize(workload: Workload, results: Mapping[str, Result]) -> dict[str, Any]:
    """Medians, ratios of one round against ours, our stages, and both rates in operations per second."""
    rates = {
        name: 2 * SIZE**3 / min(results[name].seconds("wall"))
        for name in PRODUCTS
        if name in results
    }
    measured = {n: result for n, result in results.items() if n not in PRODUCTS}
    own = np.array(measured[OURS].seconds("wall"))
    found = {}
    for name, result in measured.items():
        wall = np.array(result.seconds("wall"))
        found[name] = {
            "wall_seconds": float(np.median(wall)),
            "cpu_seconds": float(np.median(result.seconds("cpu"))),
            "peak_bytes": max(each["peak"] for each in result.rounds),
            "ours_is_faster_by": float(np.median(wall / own)),
        }
    stages = [each["stages"] for each in measured[OURS].rounds]
    medians = {n: float(np.median([each[n] for each in stages])) for n in stages[0]}
    return {"contenders": found, "stages": medians, "rates": rates}


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The table, where our time went, and how fast each multiplies."""
    header = ("contender", "s", "CPU s", "peak GiB", "ours is faster by")
    rows = [
        (
            name,
            f"{found['wall_seconds']:.1f}",
            f"{found['cpu_seconds']:.1f}",
            f"{found['peak_bytes'] / 2**30:.2f}",
            f"{found['ours_is_faster_by']:.2f}",
        )
        for name, found in summary["contenders"].items()
    ]
    stages = ", ".join(
        f"{name} {seconds:.1f} s" for name, seconds in summary["stages"].items()
    )
    rates = "; ".join(
        f"{name}: {rate / 1e9:.0f} GFLOP/s" for name, rate in summary["rates"].items()
    )
    return f"{table.markdown(header, rows)}\n\nOurs: {stages}.\n\nSquares of {SIZE}, {rates}."

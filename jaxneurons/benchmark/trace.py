"""A forward pass that counts everything under JAX's profiler, as a contender: where its time goes, and a trace to look at.

A workload in; out, a function that traces one forward pass, writes the trace as Perfetto opens it, and returns
the seconds of each part.
"""

import gzip
import json
import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from jaxneurons.benchmark import ours
from jaxneurons.benchmark.profile import MOST_EVENTS
from jaxneurons.benchmark.workload import Workload
from jaxneurons.disk import files

# The first pattern found in the path of an operation says which part of a layer it belongs to.
PARTS = {
    "attention projections": r"/attention/(query|key|value|output)/",
    "attention, products": r"/attention/.*/dot(_general)?$",
    "attention, softmax": r"/attention/.*(exp|reduce_max|reduce_sum|div|sub)$",
    "attention, masks and layouts": r"/attention/",
    "feed-forward": r"/feed_forward/",
    "LayerNorm": r"layer_norm/",
    "residual stream": r"/Block/",
}
COUNTING = "counting, in the step"
LAYER_END = "counting, at a layer's end"
EMBEDDING = "embedding"
_DOT = "/dot"
# A loop's own event spans those of its body.
_CONTROL = re.compile(r"(while|conditional|call)(\.\d+)?$")


def make(workload: Workload, trace: pathlib.Path) -> Callable[[], dict[str, Any]]:
    """Traces one forward pass; the returned dict has `parts`, seconds of all threads by part, and `events`.

    Each call replaces the file `trace`, a gzipped JSON trace, unless there are so many events that it lacks some.
    """
    forward = ours.make(workload, ours.COUNTED[-1])
    # None only for backends that cannot say what they compiled.
    paths = operation_paths(
        ours.compiled_step(workload, ours.COUNTED[-1]).as_text() or ""
    )
    forward()
    options = jax.profiler.ProfileOptions()
    # Python's own calls would crowd operations out.
    options.python_tracer_level = 0

    def once() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(
                folder, create_perfetto_trace=True, profiler_options=options
            ):
                forward()
            (found,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
            content = found.read_bytes()
        events = json.loads(gzip.decompress(content))["traceEvents"]
        number = sum(event.get("ph") == "X" for event in events)
        if number < MOST_EVENTS:
            files.write_atomically(trace, content)
        return {"parts": seconds_by_part(events, paths), "events": number}

    return once


def seconds_by_part(
    events: Iterable[Mapping[str, Any]], paths: Mapping[str, str]
) -> dict[str, float]:
    """Sums a trace's operations by part; `paths` are those of the step's operations."""
    seconds: Counter[str] = Counter()
    for event in events:
        arguments = event.get("args", {})
        operation = arguments.get("hlo_op")
        if operation is None or _CONTROL.match(operation):
            continue
        part = _part(arguments["hlo_module"], paths.get(operation, ""))
        seconds[part] += event["dur"] * 1e-6
    return dict(seconds)


def operation_paths(hlo: str) -> dict[str, str]:
    """Where in the program each instruction of a compiled module comes from, by its name.

    XLA drops the path of some products. Such an instruction has that of the last one with a path in what it
    calls, else that of its first operand with one; "/dot" behind it tells a product.
    """
    paths: dict[str, str] = {}
    last_of: dict[str, str] = {}
    computation = ""
    for line in hlo.splitlines():
        if begins := re.match(r"(?:ENTRY )?%?([\w.-]+) \(.*\{$", line):
            computation = begins[1]
        elif instruction := re.match(r" +(?:ROOT )?%?([\w.-]+) = (.*)", line):
            name, rest = instruction.groups()
            paths[name] = _path(rest, paths, last_of)
            last_of[computation] = paths[name] or last_of.get(computation, "")
    return paths


def _path(
    instruction: str, paths: Mapping[str, str], last_of: Mapping[str, str]
) -> str:
    if own := re.search(r'op_name="([^"]*)"', instruction):
        return own[1]
    called = re.search(r"calls=%?([\w.-]+)", instruction)
    path = last_of.get(called[1], "") if called else ""
    operands = re.findall(r"%([\w.-]+)", instruction.partition("), ")[0])
    from_operands = next(filter(None, (paths.get(name) for name in operands)), "")
    if " dot(" in instruction or path == _DOT:
        return from_operands + _DOT
    return path or from_operands


def _part(module: str, path: str) -> str:
    if module == "jit_embed_tokens":
        return EMBEDDING
    if module != "jit_step":
        return LAYER_END
    return next((name for name, at in PARTS.items() if re.search(at, path)), COUNTING)

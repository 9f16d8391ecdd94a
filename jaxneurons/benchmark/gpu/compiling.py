"""All programs of a study, compiled for a GPU that need not be there and held against what is planned.

In: a target, published sizes and types. Out: a table, with a line for each fault.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jax.sharding import Mesh

from jaxneurons.benchmark import table
from jaxneurons.benchmark.gpu import compilation, programs
from jaxneurons.benchmark.gpu.compilation import Program
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import PUBLISHED, Config
from jaxneurons.disk import strict_json
from jaxneurons.run import memory_plan, settings

HEADER = (
    "size",
    "type",
    "program",
    "temporaries, GiB",
    "planned, GiB",
    "runs",
    "kernels",
    "library calls",
    "faults",
)


class Compiled(NamedTuple):
    """A program and what was planned for it.

    Attributes:
        size, dtype, name: what it is.
        program: as it was compiled.
        planned: bytes that the plan of memory allows it.
        runs: how often it runs at a layer's end; 1 for a step.
        faults: in words.
        seconds: that compiling took.
    """

    size: str
    dtype: str
    name: str
    program: Program
    planned: int
    runs: int
    faults: list[str]
    seconds: float


def run(
    target: str,
    sizes: Sequence[str],
    dtypes: Sequence[str],
    precision: str,
    say: Callable[[str], None],
) -> tuple[str, int, bytes]:
    """Compiles everything; gives the table, how many programs have faults, and all figures as JSON.

    Args:
        target: one of `targets.TARGETS`.
        sizes: of `config.PUBLISHED`.
        dtypes: to compute in.
        precision: of float32 products.
        say: called with a line about each program.

    Raises:
        UsageError: XLA's compiler for the target is not installed.
    """
    found = []
    mesh, models = programs.make_mesh(target), {n: PUBLISHED[n] for n in sizes}
    for each in compile_all(mesh, models, dtypes, precision):
        found.append(each)
        say(f"{each.size} {each.dtype} {each.name}: {each.seconds:.0f} s")
    content = strict_json.to_bytes(
        [each._asdict() | {"program": each.program._asdict()} for each in found]
    )
    faulty = sum(bool(each.faults) for each in found)
    return table.markdown(HEADER, map(_row, found)), faulty, content


def compile_all(
    mesh: Mesh, models: Mapping[str, Config], dtypes: Sequence[str], precision: str
) -> Iterator[Compiled]:
    """Compiles the steps, attention and, once for each model, a layer's end, for the one device of a mesh."""
    for size, config in models.items():
        for dtype in dtypes:
            case = programs.make_case(config, dtype)
            of_type = precision if dtype == "float32" else "highest"
            planned = _step_bytes(case, of_type)
            for counted in programs.COUNTED:
                lowered = programs.lower_step(case, counted, mesh, of_type)
                name = f"step, {counted} counted"
                yield _compiled(case, size, name, lowered, planned, precision=of_type)
            lowered = programs.lower_attention(case, mesh, of_type)
            yield _compiled(case, size, "attention", lowered, planned)
        budget = memory_plan.MOST_NGRAM_WORK_ON_DEVICE
        for name, lowered, runs, planned in programs.lower_ends(case, mesh, budget):
            yield _compiled(case, size, name, lowered, planned, runs)


def _step_bytes(case: Workload, precision: str) -> int:
    chosen = settings.resolve(
        case.config,
        window=case.window,
        windows_per_batch=case.windows_per_batch,
        dtype=case.dtype,
    )
    # Not of this machine, which may have a CPU alone.
    chosen = dataclasses.replace(chosen, precision=precision)
    return memory_plan.step_bytes(case.config, chosen, on_cpu=False)


def _compiled(
    case: Workload,
    size: str,
    name: str,
    lowered: Any,
    planned: int,
    runs: int = 1,
    precision: str = "highest",
) -> Compiled:
    began = time.monotonic()
    program = compilation.read(lowered.compile())
    seconds = time.monotonic() - began
    faults = []
    if program.temporaries > planned:
        faults.append("more temporaries than planned")
    if name.startswith("step"):
        tokens = case.windows_per_batch * case.window
        is_mask = program.integers >= tokens * case.config.ffn_dim
        # Other precisions split numbers by their bits, as integers.
        if is_mask and precision == "highest":
            faults.append("a mask is written in 32 bits")
        if not program.has_relu:
            faults.append("bias and ReLU are apart from the product")
    # Only steps and attention are compiled for each type.
    dtype = case.dtype if name.startswith("step") or name == "attention" else ""
    return Compiled(size, dtype, name, program, planned, runs, faults, seconds)


def _row(each: Compiled) -> tuple[str, ...]:
    program = each.program
    calls = ", ".join(
        f"{number} {name.strip('_$')}" for name, number in program.calls.items()
    )
    return (
        each.size,
        each.dtype,
        each.name,
        f"{program.temporaries / 2**30:.2f}",
        f"{each.planned / 2**30:.2f}",
        str(each.runs),
        str(program.kernels),
        calls,
        "; ".join(each.faults),
    )

"""All checks in order, within a budget of time: a table out, with all figures as JSON beside it."""

import pathlib
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from jaxneurons import errors
from jaxneurons.benchmark import machine, processes
from jaxneurons.benchmark.gpu import figure, parts, sizes
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.parts import Outcome, Part
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.disk import files, strict_json

# No check may take more than this share of the budget, or one that hangs would be the only one.
LARGEST_SHARE = 1 / 3
PEERS = ("sdpa", "offloaded")
# What can be asked for, in the order in which it is checked.
PARTS = (
    "float64",
    "attention",
    "integers",
    "ceilings",
    "copies",
    "step",
    "end",
    "study",
    "streaming",
    "transformers",
)


def run(
    toy: bool,
    chosen_parts: Collection[str],
    budget_seconds: float,
    out: pathlib.Path | None,
    say: Callable[[str], None],
) -> str:
    """Checks this machine's accelerator.

    Args:
        toy: small sizes, for which a CPU will do.
        chosen_parts: of `PARTS`; none is all.
        budget_seconds: after which nothing new is begun and what runs is ended.
        out: JSON file to write; None writes none.
        say: called with a line about each part.

    Returns:
        The table of all figures, and below it what failed.

    Raises:
        UsageError: JAX cannot start, or finds no accelerator; or there is no such part.
        OutputExistsError: a file is in the way.
        InputOutputError: the operating system refuses a write.
    """
    if out:
        files.refuse_existing(out, "a check")
    if unknown := sorted(set(chosen_parts) - set(PARTS)):
        raise errors.UsageError(
            f"there is no part {unknown[0]!r}. Choose of {', '.join(PARTS)}."
        )
    processes.check_jax()
    stop = time.monotonic() + budget_seconds
    outcomes: dict[str, Outcome] = {}

    def check(part: Part) -> Outcome:
        say(part.name)
        left = min(stop - time.monotonic(), LARGEST_SHARE * budget_seconds)
        outcomes[part.name] = parts.run(part, left)
        return outcomes[part.name]

    device = check(Part("device", _module("speed"), "device", (sizes.TOY,)))
    if not toy and (device.problem or Figure("platform", "cpu") in device.figures):
        reason = device.problem or "JAX finds the CPU alone"
        raise errors.UsageError(
            f"there is no accelerator to check: {reason}. Install what it needs (for an NVIDIA GPU, the extra "
            "cuda12 or cuda13), or check at toy sizes."
        )
    for part in all_parts(sizes.TOY if toy else sizes.FULL):
        if not chosen_parts or part.kind in chosen_parts:
            check(part)
    if out:
        files.write_atomically(out, strict_json.to_bytes(_values(outcomes)))
    return _report(outcomes)


def all_parts(chosen: Sizes) -> Iterator[Part]:
    """What is checked, the most telling first."""
    exactness, speed = _module("exactness"), _module("speed")
    yield Part("float64", exactness, "against_reference", (chosen,))
    yield Part("attention", exactness, "fused_attention", (chosen,))
    yield Part("integers", exactness, "integers", (chosen,))
    yield Part("ceilings", speed, "ceilings", (chosen,))
    yield Part("copies", speed, "copies", (chosen,))
    for shape in chosen.shapes:
        yield Part(f"step, {shape}", speed, "layer_step", (chosen, shape))
    for shape in chosen.ends:
        yield Part(f"end, {shape}", _module("ends"), "layer_end", (chosen, shape))
    yield Part("study", _module("whole"), "against_cpu", (chosen,))
    yield Part("streaming", _module("streaming"), "places", (chosen,))
    for kind in PEERS:
        arguments = (chosen, kind)
        yield Part(f"transformers, {kind}", _module("peers"), "forward", arguments)


def _module(name: str) -> str:
    return f"{__package__}.{name}"


def _values(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    described = {
        name: {
            "figures": [found._asdict() for found in outcome.figures],
            "problem": outcome.problem,
            "seconds": round(outcome.seconds, 2),
        }
        for name, outcome in outcomes.items()
    }
    return {"format_version": 1, "machine": machine.describe(), "parts": described}


def _report(outcomes: dict[str, Outcome]) -> str:
    found = [(name, each) for name, outcome in outcomes.items() for each in outcome[0]]
    problems = [
        f"{name}: {outcome.problem}"
        for name, outcome in outcomes.items()
        if outcome.problem
    ]
    ended = (
        f"{len(outcomes) - len(problems)} of {len(outcomes)} parts came to their end"
    )
    return "\n\n".join([figure.markdown(found), *problems, f"{ended}."])

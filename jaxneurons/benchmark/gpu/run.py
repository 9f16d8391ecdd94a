"""All checks in order, within a budget of time: a table out, what is wrong, and all figures as JSON."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.benchmark import machine, processes
from jaxneurons.benchmark.gpu import figure, parts, sizes
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.parts import Outcome, Part
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.disk import strict_json

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
    "precision",
    "end",
    "study",
    "streaming",
    "training",
    "transformers",
)


def run(
    toy: bool,
    chosen_parts: Collection[str] | None,
    budget_seconds: float,
    say: Callable[[str], None],
) -> tuple[str, int, bytes]:
    """Checks this machine's accelerator.

    Args:
        toy: small sizes, for which a CPU will do.
        chosen_parts: of `PARTS`; None is all.
        budget_seconds: after which nothing new is begun and what runs is ended.
        say: called with a line about each part.

    Returns:
        The table of all figures with what is wrong or failed below it, how much that is, and all as JSON.

    Raises:
        UsageError: JAX cannot start, or finds no accelerator, or not in time; or there is no such part.
    """
    chosen = set(PARTS if chosen_parts is None else chosen_parts)
    if unknown := sorted(chosen - set(PARTS)):
        raise errors.UsageError(
            f"there is no part {unknown[0]!r}. Choose of {', '.join(PARTS)}."
        )
    if not chosen:
        raise errors.UsageError(f"no part is chosen. Choose of {', '.join(PARTS)}.")
    processes.check_jax()
    stop = time.monotonic() + budget_seconds
    outcomes: dict[str, Outcome] = {}

    def check(part: Part) -> Outcome:
        say(part.name)
        left = min(stop - time.monotonic(), LARGEST_SHARE * budget_seconds)
        outcomes[part.name] = parts.run(part, left)
        return outcomes[part.name]

    device = check(Part("device", _module("speed"), "device", (sizes.TOY,)))
    if device.problem:
        raise errors.UsageError(
            f"JAX did not say what device there is: {device.problem}. Allow more time, or mend what is said above."
        )
    if not toy and Figure("platform", "cpu") in device.figures:
        raise errors.UsageError(
            "there is no accelerator to check: JAX finds the CPU alone. Install what it needs (for an NVIDIA GPU, "
            "the extra cuda12 or cuda13), or check at toy sizes."
        )
    for part in all_parts(sizes.TOY if toy else sizes.FULL):
        if part.kind in chosen:
            check(part)
    problems = find_problems(outcomes)
    content = strict_json.to_bytes(_values(outcomes))
    return _report(outcomes, problems), len(problems), content


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
    yield Part("precision", speed, "float32_step", (chosen,))
    for shape in chosen.ends:
        yield Part(f"end, {shape}", _module("ends"), "layer_end", (chosen, shape))
    yield Part("study", _module("whole"), "against_cpu", (chosen,))
    yield Part("streaming", _module("streaming"), "places", (chosen,))
    yield Part("training", speed, "training_update", (chosen,))
    for kind in PEERS:
        arguments = (chosen, kind)
        yield Part(f"transformers, {kind}", _module("peers"), "forward", arguments)


def _module(name: str) -> str:
    return f"{__package__}.{name}"


def _values(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    described = {
        name: {
            "figures": [figure.to_json(found) for found in outcome.figures],
            "problem": outcome.problem,
            "seconds": round(outcome.seconds, 2),
        }
        for name, outcome in outcomes.items()
    }
    return {"format_version": 1, "machine": machine.describe(), "parts": described}


def find_problems(outcomes: Mapping[str, Outcome]) -> list[str]:
    """A line for each figure that is wrong and each part that did not come to its end."""
    lines = []
    for part, outcome in outcomes.items():
        wrong = [each for each in outcome.figures if each.is_wrong]
        lines += [f"{part}: {e.name}: {figure.text(e)} {e.unit}".strip() for e in wrong]
        lines += [f"{part}: {outcome.problem}"] if outcome.problem else []
    return lines


def _report(outcomes: Mapping[str, Outcome], problems: list[str]) -> str:
    found = [(name, each) for name, outcome in outcomes.items() for each in outcome[0]]
    ended = sum(not outcome.problem for outcome in outcomes.values())
    last = f"{ended} of {len(outcomes)} parts came to their end."
    return "\n\n".join([figure.markdown(found), *problems, last])

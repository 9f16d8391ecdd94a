"""How long a layer's end takes: on the device, which waits for it, and on the host beside the next layer.

Sizes in, figures out. States are drawn on the device: some neurons are active on one of 64 tokens, and the rest,
which have candidates, on one of 262,144.
"""

import dataclasses
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices
from jaxneurons.benchmark import ours
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.counting import paper, reductions
from jaxneurons.run import memory_plan
from jaxneurons.stream import step

# Of random words, so many together leave one bit in 64, and one in 262,144.
COMMON, RARE = 6, 18
BUDGETS = (memory_plan.MOST_NGRAM_WORK, memory_plan.MOST_NGRAM_WORK_ON_DEVICE)


def layer_end(sizes: Sizes, shape: str) -> Iterator[Figure]:
    """Seconds of a layer's end by budget for counting n-grams, the second time, when all is compiled."""
    case = dataclasses.replace(sizes.workload(shape), tokens=sizes.end_tokens)
    text, spread = ours.make_windows(case), ours.make_spread(case)
    for budget in BUDGETS:
        parts = paper.paper_counts(
            case.config,
            text.tokens,
            text.lengths,
            text.full_windows(),
            spread,
            budget,
        )
        reduction = reductions.chain(*parts)
        for _ in range(2):
            states = _states(reduction, spread.mesh)
            found, times = _finish(reduction, states)
        name = f"{case.tokens:,} tokens, {budget / 2**30:g} GiB"
        for what, seconds in times.items():
            yield Figure(f"{name}: {what}", seconds, "s")
        yield Figure(f"{name}: candidates", found, "rows")


def _finish(
    reduction: reductions.Reduction, states: reductions.State
) -> tuple[int, dict[str, float]]:
    """How many candidates there are, and how long each part takes."""
    times = {}
    began = time.perf_counter()
    found = reduction.finalize(reduction.merge(states))
    times["counting, the device waits"] = time.perf_counter() - began
    began = time.perf_counter()
    candidates = found.pop("candidates")
    arrays = [np.asarray(array) for array in found.values()]
    times[f"{sum(a.nbytes for a in arrays) / 1e9:.2f} GB to the host"] = (
        time.perf_counter() - began
    )
    began = time.perf_counter()
    rows = 0
    for piece in candidates:
        if "masks read" not in times and candidates.released.is_set():
            times["masks read"] = time.perf_counter() - began
        rows += len(next(iter(piece.values())))
    times["candidates looked through"] = time.perf_counter() - began
    return rows, times


def _states(reduction: reductions.Reduction, mesh: jax.sharding.Mesh) -> tuple:
    """Random masks among zeros, of the device."""
    states = step.init_states(reduction.init, mesh)
    shape = states[2].shape
    rare = max(1, shape[-1] // 4)

    def bits(seed: int, words: int, times: int) -> jax.Array:
        size = (*shape[:-1], words)

        def less(number: int, held: jax.Array) -> jax.Array:
            key = jax.random.fold_in(jax.random.key(seed), number)
            return held & jax.random.bits(key, size, jnp.uint32)

        full = jnp.full(size, np.uint32(2**32 - 1))
        return jax.lax.fori_loop(0, times, less, full)

    @jax.jit
    def draw() -> jax.Array:
        common = bits(0, shape[-1] - rare, COMMON)
        return jnp.concatenate([common, bits(1, rare, RARE)], axis=-1)

    masks = jax.device_put(draw(), devices.sharded(mesh))
    return *states[:2], masks, *states[3:]

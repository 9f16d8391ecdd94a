"""What is counted while the model runs: `Reduction`s, triples of pure functions over activation masks.

A reduction sees each batch of one layer's activation mask once and keeps integer sums, so that any
split of the data, over batches or devices, gives the same bits. Every device has a state of its own until
the layer is done. A statistic is added by writing one triple; `chain` makes several one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

State = Any
# Rows summed in uint8: at most 255, lest it overflow. On CPU 32 was the fastest of 32, 128 and 255:
# 1.5 ms for 2 x 2048 x 3072 masks, where a product of int8 into int32 took 22.
ROWS_IN_BYTES = 32


class Batch(NamedTuple):
    """What a reduction may know of a batch of B windows of T tokens: on several devices, of one's part of it.

    Attributes:
        tokens: int32[B, T].
        valid: bool[B, T], not padding.
        special: bool[B, T], valid and one of the model's special tokens.
        domain: int32[B], index of the window's domain.
        full: bool[B], whether the window has T tokens.
        first_window: int32[], index of the batch's first window; the others follow it.
            Windows that only fill the last batch up have nothing valid and are not full.
    """

    tokens: jax.Array
    valid: jax.Array
    special: jax.Array
    domain: jax.Array
    full: jax.Array
    first_window: jax.Array


@jax.jit
def add_states(states: State) -> State:
    """The sum of all devices' states, whose arrays have a leading axis of devices, each in its own type."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, dtype=leaf.dtype), states)


class Reduction(NamedTuple):
    """A statistic of one layer.

    Attributes:
        init: makes a device's state, a pytree of arrays, before a layer's first batch: zeros, where
            states are added.
        update: (state, active bool[B, T, F], batch) to the next state; traced into one
            executable with the block, the old state is donated.
        finalize: turns the state after a layer's last batch into named host arrays; what may be too
            much to hold at once is an iterator of dicts of such.
        merge: makes one state of all devices' at the end of a layer. They come as one pytree, its
            arrays with a leading axis of devices, each of which holds its own, and may be donated.
    """

    init: Callable[[], State]
    update: Callable[[State, jax.Array, Batch], State]
    finalize: Callable[[State], dict[str, Any]]
    merge: Callable[[State], State] = add_states


def chain(*reductions: Reduction) -> Reduction:
    """Several reductions as one; their arrays must differ in name."""

    def init() -> State:
        return tuple(reduction.init() for reduction in reductions)

    def update(state: State, active: jax.Array, batch: Batch) -> State:
        pairs = zip(reductions, state, strict=True)
        return tuple(reduction.update(part, active, batch) for reduction, part in pairs)

    def finalize(state: State) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for reduction, part in zip(reductions, state, strict=True):
            found = reduction.finalize(part)
            if both := sorted(arrays.keys() & found.keys()):
                raise ValueError(f"two chained reductions give the arrays {both}")
            arrays |= found
        return arrays

    def merge(states: State) -> State:
        pairs = zip(reductions, states, strict=True)
        return tuple(reduction.merge(part) for reduction, part in pairs)

    return Reduction(init, update, finalize, merge)


def activation_counts(domains: int, neurons: int) -> Reduction:
    """Counts activations by domain (statistics.md, "Activation"; paper §3).

    Gives `activation_count`, over every token that is not padding, and
    `special_activation_count`, the part of it on special tokens; both int64[domain, F].
    """

    def init() -> State:
        return jnp.zeros((2, domains, neurons), jnp.int32)

    def update(state: State, active: jax.Array, batch: Batch) -> State:
        counted = jnp.stack([batch.valid, batch.special])
        per_window = _sum_over_positions(active[None] & counted[..., None])
        return state.at[:, batch.domain].add(per_window)

    def finalize(state: State) -> dict[str, np.ndarray]:
        counts = np.asarray(state).astype(np.int64)
        return {
            "activation_count": counts[0],
            "special_activation_count": counts[1],
        }

    return Reduction(init, update, finalize)


def _sum_over_positions(mask: jax.Array) -> jax.Array:
    """Sums bool[..., T, F] over T to int32[..., F], a byte wide for `ROWS_IN_BYTES` rows at a time."""
    *leading, positions, neurons = mask.shape
    padding = [(0, 0)] * len(leading) + [(0, -positions % ROWS_IN_BYTES), (0, 0)]
    rows = jnp.pad(mask, padding).reshape(*leading, -1, ROWS_IN_BYTES, neurons)
    in_bytes = jnp.sum(rows, axis=-2, dtype=jnp.uint8)
    return jnp.sum(in_bytes, axis=-2, dtype=jnp.int32)


def position_counts(domains: int, positions: int, neurons: int) -> Reduction:
    """Counts activations by domain and position over full windows (statistics.md, "Positions"; §5.1).

    Gives `position_count`, uint32[domain, T, F].
    """

    def init() -> State:
        return jnp.zeros((domains, positions, neurons), jnp.int32)

    def update(state: State, active: jax.Array, batch: Batch) -> State:
        # A window at a time: one scatter of all windows takes five times as long on CPU.
        def add_window(window: jax.Array, state: State) -> State:
            counted = active[window] & batch.full[window]
            return state.at[batch.domain[window]].add(counted.astype(jnp.int32))

        return jax.lax.fori_loop(0, len(active), add_window, state)

    def finalize(state: State) -> dict[str, np.ndarray]:
        return {"position_count": np.asarray(state).astype(np.uint32)}

    return Reduction(init, update, finalize)

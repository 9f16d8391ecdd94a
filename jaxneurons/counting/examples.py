"""Windows in which each neuron is highest, and as many whatever its value, as a `Reduction`.

In: batches of activations. Out: for each neuron the value, window and position of its peak in each
of k windows. A device's state is a list of k windows for each neuron, kept in order; a window is
inserted where it belongs. Order is by value, ties by window, or by a fixed pseudo-random rank of
the window, so that any split of the text gives the same bits.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices
from jaxneurons.counting.reductions import Batch, Reduction, State, rows_of_chunks

NAMES = ("value", "window", "position")


class Examples(NamedTuple):
    """Windows in order, best first; slots that are still free have the worst key.

    Attributes:
        key: float32 or int32[k, F], what they are ordered by, descending.
        value: float32[k, F], of the neuron at its peak in the window.
        window: int32[k, F].
        position: int32[k, F], of the peak; the first one of equal peaks.
    """

    key: jax.Array
    value: jax.Array
    window: jax.Array
    position: jax.Array


def examples(number: int, neurons: int) -> Reduction:
    """Finds the windows that show a neuron best, and random ones in which it is active.

    Gives `example_value` float32[F, k], `example_window` and `example_position` int32[F, k],
    highest value first, and `random_example_value`, `_window`, `_position`, which are in an order
    that is the same for all neurons. A window is at most one example of a neuron. Special tokens
    never count. Where a neuron is active in fewer than k windows, -1 and NaN fill the rest.

    Args:
        number: k, examples of each kind.
        neurons: F.
    """

    def init() -> State:
        empty = jnp.full((number, neurons), -1, jnp.int32)
        value = jnp.full((number, neurons), -jnp.inf, jnp.float32)
        least = jnp.full((number, neurons), np.iinfo(np.int32).min, jnp.int32)
        return Examples(value, value, empty, empty), Examples(
            least, value, empty, empty
        )

    def update(state: State, activation: jax.Array, batch: Batch) -> State:
        counted = batch.valid & ~batch.special
        value, position = _peaks(activation, counted)

        def add_window(index: jax.Array, state: State) -> State:
            top, random = state
            window = batch.first_window + index
            peak = (
                value[index],
                jnp.full_like(position[index], window),
                position[index],
            )
            rank = jnp.where(value[index] > 0, _rank(window), np.iinfo(np.int32).min)
            return _insert(top, value[index], peak), _insert(random, rank, peak)

        return jax.lax.fori_loop(0, len(value), add_window, state)

    def finalize(state: State) -> dict[str, np.ndarray]:
        top, random = jax.device_get(state)
        return _arrays("example", top) | _arrays("random_example", random)

    def merge(states: State) -> State:
        return merge_states(devices.everywhere(states), number)

    return Reduction(init, update, finalize, merge)


@functools.partial(jax.jit, static_argnames="number")
def merge_states(states: State, number: int) -> State:
    """The best `number` of each kind of what all devices, along axis 0, have found."""
    return tuple(_merged(states_of_kind, number) for states_of_kind in states)


def _peaks(activation: jax.Array, counted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest counted value float32[B, F] and, if it is above 0, its first position int32[B, F].

    The activations are read once, for the largest values of chunks of positions; then the chunk of
    the largest is searched.
    """
    rows = rows_of_chunks(activation)
    rows_counted = rows_of_chunks(counted[..., None])
    highest = functools.reduce(
        jnp.maximum,
        (jnp.where(c, row, 0) for row, c in zip(rows, rows_counted, strict=True)),
    )
    value = highest.max(axis=1)
    chunk = _first(highest == value[:, None])
    size = len(rows)
    positions = size * chunk[:, None] + jnp.arange(size, dtype=jnp.int32)[None, :, None]
    inside, inside_counted = (
        jnp.take_along_axis(array, positions, axis=1, mode="promise_in_bounds")
        for array in (
            activation,
            jnp.broadcast_to(counted[..., None], activation.shape),
        )
    )
    # Not what equals `value`: a compiler may compute activations twice, with other rounding.
    place = jax.lax.argmax(jnp.where(inside_counted, inside, -1), 1, jnp.int32)
    return value.astype(jnp.float32), size * chunk + place


def _first(found: jax.Array) -> jax.Array:
    """The first index along axis 1 of bool[B, n, F] that is true, int32[B, F]; n where none is."""
    number = found.shape[1]
    index = jnp.arange(number, dtype=jnp.int32)[None, :, None]
    return jnp.where(found, index, number).min(axis=1)


def _rank(window: jax.Array) -> jax.Array:
    """A pseudo-random int32 for each window, no two the same, by the mixing of MurmurHash3."""
    mixed = window.astype(jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    # One less than all values: the least stands for no example.
    return jnp.maximum(mixed.view(jnp.int32), np.iinfo(np.int32).min + 1)


def _insert(kept: Examples, key: jax.Array, peak: tuple[jax.Array, ...]) -> Examples:
    """Puts an active window [F] where it belongs in lists [k, F], behind those of the same key."""
    is_active = peak[0] > 0
    before = (kept.key >= key[None]) | ~is_active[None]
    new = Examples(key, *peak)

    def shifted(old: jax.Array, inserted: jax.Array) -> jax.Array:
        above = jnp.concatenate([old[:1], old[:-1]])
        was_before = jnp.concatenate([jnp.ones_like(before[:1]), before[:-1]])
        moved = jnp.where(was_before, inserted[None], above)
        return jnp.where(before, old, moved)

    return Examples(*map(shifted, kept, new))


def _merged(states: Examples, number: int) -> Examples:
    """The best of all devices' lists [N, k, F], in order."""
    joined = [leaf.reshape(-1, leaf.shape[-1]) for leaf in states]
    key, value, window, position = joined
    # Lowest first, so keys are turned round; ~ does it without overflow for integers.
    turned = -key if key.dtype == jnp.float32 else ~key
    _, window, *rest = jax.lax.sort(
        [turned, window, key, value, position], dimension=0, num_keys=2
    )
    key, value, position = rest
    return Examples(*(leaf[:number] for leaf in (key, value, window, position)))


def _arrays(name: str, kept: Examples) -> dict[str, np.ndarray]:
    value = np.where(kept.window < 0, np.float32(np.nan), np.asarray(kept.value))
    arrays = (value, np.asarray(kept.window), np.asarray(kept.position))
    return {
        f"{name}_{column}": array.T.copy()
        for column, array in zip(NAMES, arrays, strict=True)
    }


def moved(found: Mapping[str, np.ndarray], by: int) -> dict[str, np.ndarray]:
    """The same arrays, with the windows of examples among them counted from another one."""
    return {
        name: np.where(array < 0, array, array + np.int32(by))
        if name.endswith("example_window") and by
        else array
        for name, array in found.items()
    }


def merge_passes(
    before: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The examples of two passes, the second of later windows, as arrays [F, k] of `examples`."""
    merged = {}
    for name in ("example", "random_example"):
        joined = {
            column: np.concatenate(
                [before[f"{name}_{column}"], found[f"{name}_{column}"]], axis=1
            )
            for column in NAMES
        }
        key = joined["value"]
        if name == "random_example":
            key = np.asarray(_rank(jnp.asarray(joined["window"]))).astype(np.float64)
        key = np.where(joined["window"] < 0, -np.inf, key)
        order = np.argsort(-key, axis=1, kind="stable")[:, : key.shape[1] // 2]
        for column, array in joined.items():
            merged[f"{name}_{column}"] = np.take_along_axis(array, order, axis=1)
    return merged

"""Activations of neurons by n-gram, counted on the device from bit-packed masks (paper §4).

Masks and a `ngrams.SlotLayout` go in, coverage comes out. Coverage depends on the multiset of a
neuron's counts alone: a histogram holds those of n-grams rare enough to share words, rows hold
those of frequent n-grams. Neurons are the minor axis throughout (32 bits x words) and never meet,
so any split of the words will do: here each device of a mesh has an equal part of them, and `width`
words of a block.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxneurons import devices
from jaxneurons.counting import ngrams, packed_bits

MOST_COUNT = packed_bits.FIELD_SIZES[-1]


class Counts(NamedTuple):
    """How often the neurons of a block were active on each n-gram, without saying on which.

    Attributes:
        histogram: int32[8, 32, words], the number of n-grams with 1, 2, ... 8 activations, of those
            with at most 8 occurrences.
        frequent: int32[n-grams, 32, words], activations on each n-gram with more occurrences.
        total: int32[32, words], activations on all.
    """

    histogram: jax.Array
    frequent: jax.Array
    total: jax.Array


def by_words(mesh: Mesh) -> NamedSharding:
    """Masks uint32[places, words] with an equal part of the words on each device."""
    return NamedSharding(mesh, PartitionSpec(None, devices.AXIS))


@functools.partial(jax.jit, static_argnames=("width", "mesh"))
def slot_bits(
    masks: jax.Array,
    block: int,
    places: jax.Array,
    occupied: jax.Array,
    width: int,
    mesh: Mesh,
) -> jax.Array:
    """A block's bits in slot order: uint32[places, words] to uint32[U, 32, N * width]."""

    def on_device(masks, block, places, occupied):
        columns = jax.lax.dynamic_slice_in_dim(masks, block * width, width, axis=1)
        rows = columns.at[places].get(mode="promise_in_bounds")
        # Unless the gathered rows exist as such, each of the transposition's 32 terms gathers
        # again.
        rows = jax.lax.optimization_barrier(rows)
        return packed_bits.transpose(rows) & occupied[:, None, None]

    whole, words = PartitionSpec(), by_words(mesh).spec
    out = PartitionSpec(None, None, devices.AXIS)
    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(words, whole, whole, whole), out_specs=out
    )
    return mapped(masks, block, places, occupied)


@functools.partial(jax.jit, static_argnames="shape")
def count(bits: jax.Array, owners: jax.Array, shape: ngrams.LayoutShape) -> Counts:
    """Counts a block's bits uint32[U, 32, words] by n-gram."""
    histogram = jnp.zeros((MOST_COUNT, *bits.shape[1:]), jnp.int32)
    first = 0
    for size, words in zip(packed_bits.FIELD_SIZES, shape.field_words, strict=True):
        fields = bits[first : first + words]
        histogram = histogram.at[:size].add(packed_bits.histogram(fields, size))
        first += words
    # Told that owners are sorted, XLA writes a GPU kernel as long as a row, which takes minutes to compile.
    frequent = jax.ops.segment_sum(
        jax.lax.population_count(bits[first:]).astype(jnp.int32),
        owners,
        shape.frequent,
    )
    total = _sum(histogram * _values()) + _sum(frequent)
    return Counts(histogram, frequent, total)


def _sum(counts: jax.Array) -> jax.Array:
    """The sum along the first axis in int32, whatever JAX's default integers are."""
    return jnp.sum(counts, axis=0, dtype=jnp.int32)


def _values() -> jax.Array:
    """The counts that the rows of a histogram stand for: int32[8, 1, 1]."""
    return jnp.arange(1, MOST_COUNT + 1, dtype=jnp.int32)[:, None, None]


@functools.partial(jax.jit, static_argnames="most_occurrences")
def coverage(counts: Counts, needed: jax.Array, most_occurrences: int) -> jax.Array:
    """The fewest n-grams whose activations add up to `needed` int32[32, words]; 0 where that is 0.

    The largest counts are taken first. `least`, the count of the last n-gram taken, is found bit by
    bit from the highest: it is the largest number such that all n-grams with at least as many
    activations suffice. Of those with exactly as many, some may be spared.
    """
    values = _values()

    def number_and_sum(least: jax.Array) -> tuple[jax.Array, jax.Array]:
        small = jnp.where(values >= least[None], counts.histogram, 0)
        large = counts.frequent >= least[None]
        number = _sum(small) + _sum(large)
        activations = jnp.where(large, counts.frequent, 0)
        return number, _sum(small * values) + _sum(activations)

    def set_bit(step: jax.Array, least: jax.Array) -> jax.Array:
        larger = least | (1 << (most_occurrences.bit_length() - 1 - step))
        return jnp.where(number_and_sum(larger)[1] >= needed, larger, least)

    least = jnp.zeros_like(needed)
    least = jax.lax.fori_loop(0, most_occurrences.bit_length(), set_bit, least)
    number, activations = number_and_sum(least)
    spare = (activations - needed) // jnp.maximum(least, 1)
    return jnp.where(needed > 0, number - spare, 0)


@functools.partial(jax.jit, static_argnames="mesh")
def select_neurons(bits: jax.Array, columns: jax.Array, mesh: Mesh) -> jax.Array:
    """Some neurons' bits: uint32[U, 32, N * width] and int32[N, some] to uint32[N, some, U].

    A column is `bit * width + word`, among the words of its own device.
    """

    def on_device(bits, columns):
        flat = bits.reshape(bits.shape[0], -1)
        return flat.at[:, columns].get(mode="promise_in_bounds").transpose(1, 2, 0)

    first, last = (
        PartitionSpec(devices.AXIS),
        PartitionSpec(None, None, devices.AXIS),
    )
    mapped = jax.shard_map(
        on_device, mesh=mesh, in_specs=(last, first), out_specs=first
    )
    return mapped(bits, columns)

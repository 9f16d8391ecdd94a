"""Activation masks with 32 neurons to a word, and counting in them without unpacking.

Masks bool[..., F] in, words uint32[..., words] out: bit `i` of word `w` is neuron `i * words + w`,
so that packing reads and writes along the minor axis. Transposed, a word holds 32 places of one
neuron instead, and the classic parallel bit count, stopped early, counts active places in fields of
1, 2, 4 or 8 bits.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

WORD = 32
FIELD_SIZES = (1, 2, 4, 8)
# By field size: the lowest bit of every field of that size in a word.
_LOWEST_BITS = {1: 0xFFFFFFFF, 2: 0x55555555, 4: 0x11111111, 8: 0x01010101}
# By field size: every other field of that size, all bits set.
_EVEN_FIELDS = {1: 0x55555555, 2: 0x33333333, 4: 0x0F0F0F0F}

IntOrArray = TypeVar("IntOrArray", int, np.ndarray)


def word_count(bits: IntOrArray) -> IntOrArray:
    """How many words hold so many bits."""
    return -(-bits // WORD)


def pack(active: jax.Array, words: int) -> jax.Array:
    """Packs bool[..., F] to uint32[..., words], F <= 32 * words; absent neurons have 0."""
    *leading, neurons = active.shape
    padding = [(0, 0)] * len(leading) + [(0, WORD * words - neurons)]
    bits = jnp.pad(active, padding).reshape(*leading, WORD, words)
    packed = jnp.zeros((*leading, words), jnp.uint32)
    # Written out as in `transpose`: a sum over 32 rows writes the mask in 32 bits on a GPU first.
    for bit in range(WORD):
        packed |= bits[..., bit, :].astype(jnp.uint32) << np.uint32(bit)
    return packed


def pack_on_host(bits: np.ndarray) -> np.ndarray:
    """Packs bool[U, 32] to uint32[U], column `j` in bit `j`."""
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]


def unpack_on_host(words: np.ndarray) -> np.ndarray:
    """Undoes `pack_on_host`: uint32[U] to bool[U, 32]."""
    octets = words.astype("<u4").view(np.uint8).reshape(len(words), -1)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)


def transpose(rows: jax.Array) -> jax.Array:
    """Swaps places and bits of uint32[U, 32, words]: bit `i` of `[u, j, w]` and `j` of `[u, i, w]`.

    Thirty-two terms written out make one elementwise loop over words, which XLA vectorizes.
    """
    neuron_bits = jnp.arange(WORD, dtype=jnp.uint32)[None, :, None]
    transposed = jnp.zeros_like(rows)
    for place in range(WORD):
        bits = (rows[:, place, None, :] >> neuron_bits) & np.uint32(1)
        transposed |= bits << np.uint32(place)
    return transposed


def field_counts(words: jax.Array, size: int) -> jax.Array:
    """Counts the set bits of every `size`-bit field of uint32 words, in place of the field."""
    counted = 1
    while counted < size:
        even = np.uint32(_EVEN_FIELDS[counted])
        words = (words & even) + ((words >> np.uint32(counted)) & even)
        counted *= 2
    return words


def histogram(words: jax.Array, size: int) -> jax.Array:
    """How many fields of uint32[U, ...] hold 1, 2, ... `size` set bits: int32[size, ...]."""
    lowest = np.uint32(_LOWEST_BITS[size])
    values = jnp.arange(1, size + 1, dtype=jnp.uint32) * lowest
    values = values.reshape((size,) + (1,) * words.ndim)
    differences = field_counts(words, size)[None] ^ values
    differs = differences
    for bit in range(1, size.bit_length()):
        differs |= differences >> np.uint32(bit)
    equal = jax.lax.population_count(~differs & lowest)
    return jnp.sum(equal, axis=1, dtype=jnp.int32)

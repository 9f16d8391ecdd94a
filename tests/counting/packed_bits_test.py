"""Packing, transposing and counting bits against NumPy on unpacked masks."""

import jax.numpy as jnp
import numpy as np

from jaxneurons.counting import packed_bits
from tests.support import cases


def random_words(*shape):
    return np.random.default_rng(0).integers(0, 2**32, shape, dtype=np.uint32)


@cases.each("neurons, words", [(64, 2), (33, 2), (1, 1), (5, 3)])
def test_bit_of_word_is_the_stated_neuron(neurons, words):
    active = np.random.default_rng(0).random((2, 3, neurons)) < 0.5
    packed = np.asarray(packed_bits.pack(jnp.asarray(active), words))
    for neuron in range(packed_bits.WORD * words):
        bit = packed[..., neuron % words] >> np.uint32(neuron // words) & np.uint32(1)
        wanted = active[..., neuron] if neuron < neurons else np.zeros((2, 3))
        np.testing.assert_array_equal(bit, wanted)


def test_transpose_swaps_places_and_bits():
    rows = random_words(3, 32, 2)
    transposed = np.asarray(packed_bits.transpose(jnp.asarray(rows)))
    bits = rows[:, :, None, :] >> np.arange(32, dtype=np.uint32)[:, None] & 1
    powers = np.uint64(1) << np.arange(32, dtype=np.uint64)[:, None, None]
    np.testing.assert_array_equal(transposed, (bits * powers).sum(axis=1))


@cases.each("size", packed_bits.FIELD_SIZES)
def test_histogram_counts_fields_by_their_set_bits(size):
    words = random_words(50, 3)
    words[0] = 0
    words[1] = 2**32 - 1
    found = np.asarray(packed_bits.histogram(jnp.asarray(words), size))
    for column in range(3):
        bits = packed_bits.unpack_on_host(words[:, column]).reshape(-1, size)
        wanted = np.bincount(bits.sum(axis=1), minlength=size + 1)[1:]
        np.testing.assert_array_equal(found[:, column], wanted)


def test_host_and_device_agree_on_bits():
    active = np.random.default_rng(1).random((7, 32)) < 0.5
    words = packed_bits.pack_on_host(active)
    np.testing.assert_array_equal(words, packed_bits.pack(jnp.asarray(active), 1)[:, 0])
    np.testing.assert_array_equal(packed_bits.unpack_on_host(words), active)

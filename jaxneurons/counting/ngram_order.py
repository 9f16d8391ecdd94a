"""How the n-grams of a text and the neurons of a layer are cut, so that counting stays within a budget.

In: tokens, and a number of bytes. Out: an `Order` of the n-grams of each n, and `Blocks` of neurons.
"""

from collections.abc import Collection
from typing import NamedTuple

import jax
import numpy as np

from jaxneurons import devices
from jaxneurons.counting import ngrams, packed_bits
from jaxneurons.devices import Spread


class Order(NamedTuple):
    """The n-grams of one n: the distinct ones, their slots, and the slots on the device."""

    distinct: ngrams.NgramIndex
    layout: ngrams.SlotLayout
    places: jax.Array
    occupied: jax.Array
    owners: jax.Array


class Blocks(NamedTuple):
    """Neurons as 32 bits x words of a mask; each device counts its part, `width` at a time."""

    neurons: int
    devices: int
    number: int
    width: int

    @property
    def words(self) -> int:
        return self.devices * self.number * self.width

    @property
    def grid(self) -> tuple[int, int, int, int]:
        """Bit, device, block and word: the axes along which neurons follow each other."""
        return packed_bits.WORD, self.devices, self.number, self.width

    def by_neuron(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Joins an array [32, devices * width] per block to one [F]."""
        by_device = [block.reshape(-1, self.devices, self.width) for block in blocks]
        return np.stack(by_device, axis=2).reshape(-1)[: self.neurons]


def order_ngrams(
    tokens: np.ndarray,
    lengths: np.ndarray,
    special_tokens: Collection[int],
    n: int,
    spread: Spread,
) -> Order:
    """The n-grams of one n of windows int32[W, T], in the order in which masks are gathered for them."""
    index = ngrams.ngram_index(tokens, lengths, special_tokens, n)
    window, position = divmod(index.places, tokens.shape[1])
    rows = spread.rows().astype(np.int32)[window]
    in_masks = index._replace(places=rows * np.int32(tokens.shape[1]) + position)
    layout = ngrams.slot_layout(in_masks)
    on_devices = devices.put(
        (layout.places, layout.occupied, layout.owners),
        devices.replicated(spread.mesh),
    )
    return Order(index, layout, *on_devices)


def bytes_per_word(order: Order) -> int:
    """Device memory that counting takes for each word (32 neurons) of a block."""
    slots = order.layout.places.size
    rows = order.layout.shape.frequent * packed_bits.WORD
    return 4 * (3 * slots + 3 * rows)


def cut_neurons(
    neurons: int, bytes_per_word: int, memory_bytes: int, number_of_devices: int
) -> Blocks:
    """On each device the fewest equal blocks within the budget, or of one word each."""
    words = -(-packed_bits.word_count(neurons) // number_of_devices)
    widest = max(1, memory_bytes // max(1, bytes_per_word))
    number = -(-words // widest)
    return Blocks(neurons, number_of_devices, number, width=-(-words // number))

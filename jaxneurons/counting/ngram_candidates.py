"""Candidates for n-gram detectors: the n-grams themselves, of the few neurons that may have triggers (§4).

In: a layer's masks, and at most how many candidates each neuron has. Out: pieces of bounded size, as
arrays. Bits of some neurons at a time are copied to the host while those before are looked through,
so that the masks may be gone long before the last piece is made.
"""

import collections
import itertools
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from jaxneurons import devices, processes, terms
from jaxneurons.counting import ngram_counts, ngram_order, packed_bits, reductions

# Neurons whose bits come to the host at a time.
NEURONS_AT_ONCE = 64
# Bytes of bits that wait on the host beside an accelerator, which then need not wait for the host.
# On a CPU, whose memory they take, those of `NEURONS_AT_ONCE` neurons do.
BYTES_AHEAD = 2**30
# Words of bits that are looked through at a time: at least one neuron's.
WORDS_AT_ONCE = 2**17


class Bits(NamedTuple):
    """The bits of some neurons in the slot order of one n.

    Attributes:
        n, number: the piece that the neurons belong to.
        neurons: int[some] for each of N devices.
        bits: uint32[N, at least some, U]; None where there are no neurons.
    """

    n: int
    number: int
    neurons: list[np.ndarray]
    bits: jax.Array | None


class Candidates:
    """Yields the pieces of a layer once, as `ngram_coverage` describes them.

    Args:
        masks: uint32[places, words] of all devices; forgotten as soon as they have been read.
        orders: of each n.
        blocks: how the masks are counted.
        rows: int64[3, F], at most how many candidates each neuron has; 0 leaves it out.
        at_once: rows of a piece, beside those of one neuron.

    Attributes:
        released: set when the masks have been read, or will not be.
    """

    def __init__(
        self,
        masks: jax.Array,
        orders: list[ngram_order.Order],
        blocks: ngram_order.Blocks,
        rows: np.ndarray,
        at_once: int,
    ):
        self.released = threading.Event()
        self._orders = dict(zip(terms.ORDERS, orders, strict=True))
        self._on_cpu = devices.mesh_of(masks).devices.flat[0].platform == "cpu"
        self._bits = _bits(masks, self._orders, blocks, rows, at_once)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        ahead = self._ahead()
        for (n, _), some in itertools.groupby(ahead, key=lambda each: each[:2]):
            found = _candidates(self._orders[n], some)
            yield {f"candidate_{n}_{name}": array for name, array in found.items()}

    def close(self) -> None:
        """Gives the masks up."""
        self._bits.close()
        self.released.set()

    def _ahead(self) -> Iterator[Bits]:
        """The bits in order, while those of the next neurons are on their way."""
        waiting: collections.deque[Bits] = collections.deque()
        for each in self._bits:
            waiting.append(each)
            size = 1 if each.bits is None else each.bits.nbytes
            while len(waiting) > (1 if self._on_cpu else max(1, BYTES_AHEAD // size)):
                yield waiting.popleft()
        self.close()
        while waiting:
            yield waiting.popleft()


def _bits(
    masks: jax.Array,
    orders: dict[int, ngram_order.Order],
    blocks: ngram_order.Blocks,
    rows: np.ndarray,
    at_once: int,
) -> Generator[Bits, None, None]:
    """The bits of all candidates' neurons, piece by piece; each piece begins with those of none."""
    for (n, order), most in zip(orders.items(), rows, strict=True):
        most = np.minimum(most, len(order.distinct.tokens))
        piece = (np.cumsum(most) - most) // at_once
        for number in np.unique(piece[most > 0]) if most.any() else [0]:
            yield Bits(n, number, [], None)
            chosen = (piece == number) & (most > 0)
            for neurons, bits in _neuron_bits(masks, order, blocks, chosen):
                yield Bits(n, number, neurons, bits)


def _neuron_bits(
    masks: jax.Array,
    order: ngram_order.Order,
    blocks: ngram_order.Blocks,
    chosen: np.ndarray,
) -> Iterator[tuple[list[np.ndarray], jax.Array]]:
    """The `chosen` neurons of each device, block by block, with their bits uint32[N, some, U] on the way."""
    mesh = devices.mesh_of(masks)
    grid = np.zeros(packed_bits.WORD * blocks.words, bool)
    grid[: blocks.neurons] = chosen
    by_block = grid.reshape(blocks.grid)
    numbers = np.arange(grid.size).reshape(blocks.grid)
    for block in np.flatnonzero(by_block.any(axis=(0, 1, 3))):
        columns = [
            np.flatnonzero(by_block[:, device, block]) for device in range(mesh.size)
        ]
        bits = ngram_counts.slot_bits(
            masks, block, order.places, order.occupied, blocks.width, mesh
        )
        for first in range(0, max(map(len, columns)), NEURONS_AT_ONCE):
            some = [found[first : first + NEURONS_AT_ONCE] for found in columns]
            padded = np.stack([np.resize(found, NEURONS_AT_ONCE) for found in some])
            selected = ngram_counts.select_neurons(bits, padded.astype(np.int32), mesh)
            neurons = [
                numbers[:, device, block].reshape(-1)[found]
                for device, found in enumerate(some)
            ]
            yield neurons, reductions.to_host(selected)


def _candidates(
    order: ngram_order.Order, some: Iterable[Bits]
) -> dict[str, np.ndarray]:
    """Every n-gram that the neurons of a piece were active on, as arrays, one row per pair."""
    pairs = [np.zeros((3, 0), np.int32)]
    together = max(1, WORDS_AT_ONCE // max(1, len(order.layout.ranks)))
    for each in some:
        if each.bits is None:
            continue
        own = each.neurons[devices.own_places(each.bits.sharding)]
        for neurons, rows in zip(own, devices.own_part(each.bits), strict=True):
            for first in range(0, len(neurons), together):
                few = slice(first, min(first + together, len(neurons)))
                pairs.append(_pairs(order, neurons[few], rows[few]))
    # Each process looks at the neurons of its own devices.
    of_all = processes.exchange(np.concatenate(pairs, axis=1))
    neurons, ranks, activations = np.concatenate(of_all, axis=1)
    by_neuron = np.lexsort((ranks, neurons))
    ranks = ranks[by_neuron]
    return {
        "neuron": neurons[by_neuron],
        "ngram": order.distinct.tokens[ranks],
        "activations": activations[by_neuron],
        "occurrences": order.distinct.occurrences[ranks],
    }


def _pairs(
    order: ngram_order.Order, neurons: np.ndarray, bits: np.ndarray
) -> np.ndarray:
    """Neurons, ranks of the n-grams that they were active on, and how often: int32[3, pairs]."""
    # Along one axis, which NumPy searches faster than two.
    joined = bits.reshape(-1)
    words = np.flatnonzero(joined)
    active = packed_bits.unpack_on_host(joined[words])
    found, slot = np.divmod(np.flatnonzero(active), packed_bits.WORD)
    row, word = np.divmod(words[found], bits.shape[1])
    ranks = order.layout.ranks[word, slot]
    # Slots of an n-gram follow one another.
    begins = np.ones(len(row), bool)
    begins[1:] = (row[1:] != row[:-1]) | (ranks[1:] != ranks[:-1])
    first = np.flatnonzero(begins)
    activations = np.diff(first, append=len(row))
    return np.stack([neurons[row[first]], ranks[first], activations]).astype(np.int32)

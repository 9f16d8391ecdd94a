"""Coverage of every neuron by n-grams, and the candidates for n-gram detectors, as a `Reduction` (paper §4).

Activation masks go in, batch by batch, and are kept bit-packed for the pass. When the layer is done they are
gathered in n-gram order and counted (statistics.md, "N-grams"), in blocks of neurons sized by a budget, without
saying on which n-gram: nothing of size neurons x n-grams exists. The n-grams themselves are looked up in
a second visit to the few neurons that become candidates.
"""

from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import ngram_counts, ngrams, packed_bits, reductions

ORDERS = (1, 2, 3)
# Neurons whose bits come to the host at a time, in the second visit.
NEURONS_AT_ONCE = 64


class _Order(NamedTuple):
    """The n-grams of one n: the distinct ones, their slots, and the slots on the device."""

    distinct: ngrams.NgramIndex
    layout: ngrams.SlotLayout
    places: jax.Array
    occupied: jax.Array
    owners: jax.Array


class _Blocks(NamedTuple):
    """Neurons as 32 bits x `number * width` words of a mask, counted `width` words at a time."""

    neurons: int
    number: int
    width: int

    @property
    def words(self) -> int:
        return self.number * self.width

    def by_neuron(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Joins an array [32, width] per block to one [F]."""
        return np.concatenate(blocks, axis=1).reshape(-1)[: self.neurons]


def ngram_coverage(
    tokens: np.ndarray,
    lengths: np.ndarray,
    special_tokens: Collection[int],
    neurons: int,
    *,
    windows_padded: int,
    coverage_share: Fraction = Fraction(95, 100),
    most_candidates: int = 64,
    memory_bytes: int = 2**28,
) -> reductions.Reduction:
    """Coverage, activations on n-gram occurrences, and candidates, for n = 1, 2, 3.

    Gives `ngram_coverage` int32[3, F], `ngram_activation_count` int64[3, F] and, for each n, one row for each
    n-gram that a neuron of coverage 1 to `most_candidates` was active on, sorted by neuron, then n-gram:
    `candidate_{n}_neuron`, `_activations`, `_occurrences` int32[candidates], `_ngram` int32[candidates, n].

    Args:
        tokens: int32[W, T].
        lengths: int32[W], tokens of each window before its padding.
        special_tokens: ids that no n-gram holds.
        neurons: F.
        windows_padded: windows in all batches together, a multiple of the batch size.
        coverage_share: the share of its activations that defines a neuron's coverage.
        most_candidates: the largest coverage of a neuron with candidates.
        memory_bytes: budget of device memory for counting, beside masks (F / 8 bytes a token) and the order of
            the n-grams (about 15 bytes a token). Results do not depend on it. A block of 32 neurons is the
            least; it needs up to 24 bytes a token.
    """
    orders = [_order(tokens, lengths, special_tokens, n) for n in ORDERS]
    blocks = _blocks(neurons, max(map(_bytes_per_word, orders)), memory_bytes)
    positions = tokens.shape[1]

    def init() -> jax.Array:
        return jnp.zeros((windows_padded, positions, blocks.words), jnp.uint32)

    def update(
        masks: jax.Array, active: jax.Array, batch: reductions.Batch
    ) -> jax.Array:
        chex.assert_shape(active, (None, positions, neurons))
        # A last batch that reached beyond the masks would be moved up, over other windows.
        chex.assert_is_divisible(windows_padded, active.shape[0])
        packed = packed_bits.pack(active, blocks.words)
        return jax.lax.dynamic_update_slice_in_dim(masks, packed, batch.first_window, 0)

    def finalize(masks: jax.Array) -> dict[str, np.ndarray]:
        found = [_count_order(masks, order, blocks, coverage_share) for order in orders]
        arrays = {
            "ngram_coverage": np.stack([coverage for coverage, _ in found]),
            "ngram_activation_count": np.stack([total for _, total in found]),
        }
        for n, order, (coverage, _) in zip(ORDERS, orders, found, strict=True):
            chosen = (coverage > 0) & (coverage <= most_candidates)
            candidates = _candidates(masks, order, blocks, chosen)
            arrays |= {f"candidate_{n}_{name}": a for name, a in candidates.items()}
        return arrays

    return reductions.Reduction(init, update, finalize)


def _order(
    tokens: np.ndarray, lengths: np.ndarray, special_tokens: Collection[int], n: int
) -> _Order:
    index = ngrams.ngram_index(tokens, lengths, special_tokens, n)
    layout = ngrams.slot_layout(index)
    on_device = map(jnp.asarray, (layout.places, layout.occupied, layout.owners))
    return _Order(index, layout, *on_device)


def _bytes_per_word(order: _Order) -> int:
    """Device memory that counting takes for each word (32 neurons) of a block."""
    slots = order.layout.places.size
    rows = order.layout.shape.frequent * packed_bits.WORD
    return 4 * (3 * slots + 3 * rows)


def _blocks(neurons: int, bytes_per_word: int, memory_bytes: int) -> _Blocks:
    """The fewest equal blocks within the budget, or of one word each."""
    words = packed_bits.word_count(neurons)
    widest = max(1, memory_bytes // max(1, bytes_per_word))
    number = -(-words // widest)
    return _Blocks(neurons, number, width=-(-words // number))


def _count_order(
    masks: jax.Array, order: _Order, blocks: _Blocks, coverage_share: Fraction
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage int32[F] and activations on n-gram occurrences int64[F], for one n."""
    shape = order.layout.shape
    coverages, totals = [], []
    for block in range(blocks.number):
        bits = ngram_counts.slot_bits(
            masks, block, order.places, order.occupied, blocks.width
        )
        counts = ngram_counts.count(bits, order.owners, shape)
        total = np.asarray(counts.total).astype(np.int64)
        # The least number that is >= coverage_share of the total, in integers.
        needed = -(-coverage_share.numerator * total // coverage_share.denominator)
        coverage = ngram_counts.coverage(
            counts, needed.astype(np.int32), shape.most_occurrences
        )
        coverages.append(np.asarray(coverage))
        totals.append(total)
    return blocks.by_neuron(coverages), blocks.by_neuron(totals)


def _candidates(
    masks: jax.Array, order: _Order, blocks: _Blocks, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """Every n-gram that a `chosen` bool[F] neuron was active on, as arrays with one row for each pair."""
    pairs = [np.zeros((3, 0), np.int32)]
    for neuron, bits in _neuron_bits(masks, order, blocks, chosen):
        words = np.flatnonzero(bits)
        active = packed_bits.unpack_on_host(bits[words])
        slot_ranks = order.layout.ranks[words][active]
        ranks, activations = np.unique(slot_ranks, return_counts=True)
        pair = np.stack([np.full_like(ranks, neuron), ranks, activations])
        pairs.append(pair.astype(np.int32))
    neurons, ranks, activations = np.concatenate(pairs, axis=1)
    by_neuron = np.argsort(neurons, kind="stable")
    ranks = ranks[by_neuron]
    return {
        "neuron": neurons[by_neuron],
        "ngram": order.distinct.tokens[ranks],
        "activations": activations[by_neuron],
        "occurrences": order.distinct.occurrences[ranks],
    }


def _neuron_bits(
    masks: jax.Array, order: _Order, blocks: _Blocks, chosen: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Each `chosen` neuron, block by block, with its bits uint32[U] in slot order."""
    grid = np.zeros(packed_bits.WORD * blocks.words, bool)
    grid[: blocks.neurons] = chosen
    by_block = grid.reshape(packed_bits.WORD, blocks.number, blocks.width)
    numbers = np.arange(grid.size).reshape(by_block.shape)
    for block in np.flatnonzero(by_block.any(axis=(0, 2))):
        columns = np.flatnonzero(by_block[:, block])
        bits = ngram_counts.slot_bits(
            masks, block, order.places, order.occupied, blocks.width
        )
        for first in range(0, len(columns), NEURONS_AT_ONCE):
            some = columns[first : first + NEURONS_AT_ONCE]
            padded = np.resize(some, NEURONS_AT_ONCE).astype(np.int32)
            on_host = np.asarray(ngram_counts.select_neurons(bits, padded))
            yield from zip(
                numbers[:, block].reshape(-1)[some], on_host[: len(some)], strict=True
            )

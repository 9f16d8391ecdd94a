"""Every neuron's coverage by n-grams, and candidates for n-gram detectors, as a `Reduction` (§4).

Activation masks go in, batch by batch, and are kept bit-packed for the pass. When the layer is done
they are gathered in n-gram order and counted, in blocks of neurons sized by a budget, without
saying on which n-gram: nothing of size neurons x n-grams exists. The n-grams themselves are looked
up in a second visit to the few neurons that become candidates, in batches of bounded size. Each
device keeps the masks of its own windows until the layer is done; then they are exchanged, so that
each has all windows of its own share of the neurons.
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices, processes, terms
from jaxneurons.counting import (
    ngram_counts,
    ngram_order,
    packed_bits,
    reductions,
)
from jaxneurons.devices import Spread

# Neurons whose bits come to the host at a time, in the second visit.
NEURONS_AT_ONCE = 64
# Candidates of a piece, beside those of one neuron.
CANDIDATES_AT_ONCE = 2**20


def ngram_coverage(
    tokens: np.ndarray,
    lengths: np.ndarray,
    special_tokens: Collection[int],
    neurons: int,
    *,
    spread: Spread,
    coverage_share: Fraction = terms.COVERAGE_SHARE,
    candidate_share: Fraction | None = None,
    most_candidates: int = terms.CANDIDATE_COVERAGE,
    memory_bytes: int = 2**28,
    candidates_at_once: int = CANDIDATES_AT_ONCE,
) -> reductions.Reduction:
    """Coverage, activations on n-gram occurrences, and candidates, for n = 1, 2, 3.

    Gives `ngram_coverage` int32[3, F], `ngram_activation_count` int64[3, F] and `candidates`, an
    iterator of pieces: for each n at least one, with one row for each n-gram that a neuron of
    coverage 1 to `most_candidates`, at the share for candidates, was active on, sorted by neuron,
    then n-gram, over all pieces of that n: `candidate_{n}_neuron`, `_activations`, `_occurrences`
    int32[candidates], `_ngram` int32[candidates, n].

    Args:
        tokens: int32[W, T].
        lengths: int32[W], tokens of each window before its padding.
        special_tokens: ids that no n-gram holds.
        neurons: F.
        spread: the windows over devices, as they come in batches.
        coverage_share: the share of its activations that defines a neuron's coverage.
        candidate_share: the same for choosing the neurons with candidates; None is `coverage_share`.
        most_candidates: the largest coverage of a neuron with candidates.
        memory_bytes: budget of each device's memory for counting, beside masks (F / 8 bytes per
            token) and the order of the n-grams (about 15 bytes per token). Results do not depend on
            it. A block of 32 neurons is the least; it needs up to 24 bytes per token.
        candidates_at_once: rows of a piece, beside those of one neuron.
    """
    orders = [
        ngram_order.order_ngrams(tokens, lengths, special_tokens, n, spread)
        for n in terms.ORDERS
    ]
    per_word = max(map(ngram_order.bytes_per_word, orders))
    blocks = ngram_order.cut_neurons(neurons, per_word, memory_bytes, spread.mesh.size)
    positions = tokens.shape[1]
    merge = jax.jit(
        lambda masks: masks.reshape(-1, blocks.words),
        out_shardings=ngram_counts.by_words(spread.mesh),
        donate_argnums=0,
    )

    def init() -> jax.Array:
        shape = (spread.windows_per_device, positions, blocks.words)
        return jnp.zeros(shape, jnp.uint32)

    def update(
        masks: jax.Array, activation: jax.Array, batch: reductions.Batch
    ) -> jax.Array:
        # Rows are those of `Spread.rows` only if batches are those of the spread.
        chex.assert_shape(activation, (spread.windows_per_part, positions, neurons))
        packed = packed_bits.pack(reductions.active(activation), blocks.words)
        first = spread.row_on_device(batch.first_window)
        return jax.lax.dynamic_update_slice_in_dim(masks, packed, first, 0)

    def finalize(masks: jax.Array) -> dict[str, Any]:
        shares = (coverage_share, candidate_share or coverage_share)
        coverage, total, rows = _find(masks, orders, blocks, shares, most_candidates)
        return {
            "ngram_coverage": coverage,
            "ngram_activation_count": total,
            "candidates": _pieces(masks, orders, blocks, rows, candidates_at_once),
        }

    return reductions.Reduction(init, update, finalize, merge)


def _find(
    masks: jax.Array,
    orders: list[ngram_order.Order],
    blocks: ngram_order.Blocks,
    shares: tuple[Fraction, Fraction],
    most_candidates: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coverage, activations and at most how many candidates, each [3, F]; shares: of coverage, and for candidates."""
    found = [_count_order(masks, order, blocks, shares) for order in orders]
    coverage, of_candidates, total = map(np.stack, zip(*found, strict=True))
    chosen = (of_candidates > 0) & (of_candidates <= most_candidates)
    rows = np.where(chosen, _most_rows(of_candidates, total, shares[1]), 0)
    return coverage, total, rows


def join_candidates(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What finalize gives, with all pieces of the candidates as arrays: where there are few."""
    arrays = dict(found)
    pieces: dict[str, list[np.ndarray]] = {}
    for piece in arrays.pop("candidates", ()):
        for name, array in piece.items():
            pieces.setdefault(name, []).append(array)
    return arrays | {name: np.concatenate(parts) for name, parts in pieces.items()}


def _count_order(
    masks: jax.Array,
    order: ngram_order.Order,
    blocks: ngram_order.Blocks,
    shares: tuple[Fraction, Fraction],
) -> tuple[np.ndarray, ...]:
    """Coverage int32[F] at each share and activations on n-gram occurrences int64[F], for one n."""
    shape, mesh = order.layout.shape, devices.mesh_of(masks)
    coverages: dict[Fraction, list[np.ndarray]] = {share: [] for share in shares}
    totals = []
    for block in range(blocks.number):
        bits = ngram_counts.slot_bits(
            masks, block, order.places, order.occupied, blocks.width, mesh
        )
        counts = ngram_counts.count(bits, order.owners, shape)
        total = devices.whole(counts.total).astype(np.int64)
        for share, found in coverages.items():
            needed = _needed(total, share).astype(np.int32)
            coverage = ngram_counts.coverage(counts, needed, shape.most_occurrences)
            found.append(devices.whole(coverage))
        totals.append(total)
    joined = [blocks.by_neuron(coverages[share]) for share in shares]
    return *joined, blocks.by_neuron(totals)


def _needed(total: np.ndarray, coverage_share: Fraction) -> np.ndarray:
    """The least number that is >= coverage_share of the total int64[...], in integers."""
    return -(-coverage_share.numerator * total // coverage_share.denominator)


def _most_rows(
    coverage: np.ndarray, total: np.ndarray, coverage_share: Fraction
) -> np.ndarray:
    """How many n-grams neurons can have been active on, int64[...].

    Those that cover it, and one for each activation left.
    """
    return coverage + total - _needed(total, coverage_share)


def _pieces(
    masks: jax.Array,
    orders: list[ngram_order.Order],
    blocks: ngram_order.Blocks,
    rows: np.ndarray,
    at_once: int,
) -> Iterator[dict[str, np.ndarray]]:
    """The candidates of neurons: at most `rows` int64[3, F] of each, 0 of those left out."""
    for n, order, most in zip(terms.ORDERS, orders, rows, strict=True):
        most = np.minimum(most, len(order.distinct.tokens))
        piece = (np.cumsum(most) - most) // at_once
        for number in np.unique(piece[most > 0]) if most.any() else [0]:
            chosen = (piece == number) & (most > 0)
            found = _candidates(masks, order, blocks, chosen)
            yield {f"candidate_{n}_{name}": array for name, array in found.items()}


def _candidates(
    masks: jax.Array,
    order: ngram_order.Order,
    blocks: ngram_order.Blocks,
    chosen: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every n-gram that a `chosen` bool[F] neuron was active on, as arrays, one row per pair."""
    pairs = [np.zeros((3, 0), np.int32)]
    for neuron, bits in _neuron_bits(masks, order, blocks, chosen):
        words = np.flatnonzero(bits)
        active = packed_bits.unpack_on_host(bits[words])
        slot_ranks = order.layout.ranks[words][active]
        ranks, activations = np.unique(slot_ranks, return_counts=True)
        pair = np.stack([np.full_like(ranks, neuron), ranks, activations])
        pairs.append(pair.astype(np.int32))
    # Each process has looked at the neurons of its own devices.
    of_all = processes.exchange(np.concatenate(pairs, axis=1))
    neurons, ranks, activations = np.concatenate(of_all, axis=1)
    by_neuron = np.argsort(neurons, kind="stable")
    ranks = ranks[by_neuron]
    return {
        "neuron": neurons[by_neuron],
        "ngram": order.distinct.tokens[ranks],
        "activations": activations[by_neuron],
        "occurrences": order.distinct.occurrences[ranks],
    }


def _neuron_bits(
    masks: jax.Array,
    order: ngram_order.Order,
    blocks: ngram_order.Blocks,
    chosen: np.ndarray,
) -> Iterator[tuple[int, np.ndarray]]:
    """Each `chosen` neuron of this process's devices, block by block, with its bits uint32[U] in slot order."""
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
            own = devices.own_places(devices.sharded(mesh))
            on_host = devices.own_part(
                ngram_counts.select_neurons(bits, padded.astype(np.int32), mesh)
            )
            for row, device in enumerate(range(mesh.size)[own]):
                found = some[device]
                yield from zip(
                    numbers[:, device, block].reshape(-1)[found],
                    on_host[row, : len(found)],
                    strict=True,
                )

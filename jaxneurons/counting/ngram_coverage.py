"""Every neuron's coverage by n-grams, and candidates for n-gram detectors, as a `Reduction` (§4).

Activation masks go in, batch by batch, and are kept bit-packed for the pass. When the layer is done
they are gathered in n-gram order and counted, in blocks of neurons sized by a budget, without
saying on which n-gram: nothing of size neurons x n-grams exists. The n-grams themselves are looked
up in a second visit to the few neurons that become candidates, in batches of bounded size. Each
device keeps the masks of its own windows until the layer is done; then they are exchanged, so that
each has all windows of its own share of the neurons.
"""

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices, terms
from jaxneurons.counting import (
    ngram_candidates,
    ngram_counts,
    ngram_order,
    packed_bits,
    reductions,
)
from jaxneurons.devices import Spread

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

    Gives `ngram_coverage` int32[3, F], `ngram_activation_count` int64[3, F] and `candidates`, which
    yields pieces once: for each n at least one, with one row for each n-gram that a neuron of
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
            "candidates": ngram_candidates.Candidates(
                masks, orders, blocks, rows, candidates_at_once
            ),
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

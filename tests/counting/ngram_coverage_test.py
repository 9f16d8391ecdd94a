"""N-gram coverage and candidates against a dictionary per neuron, and every edge by name."""

from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import devices
from jaxneurons.counting import (
    ngram_counts,
    ngram_coverage,
    ngram_order,
    packed_bits,
    reductions,
)
from tests.support import cases, ngram_oracle

BOS = 2
SPECIAL = (1, 2)
SHARE = Fraction(95, 100)


def count(*case, **settings):
    """The reduction's arrays after all batches, candidates joined."""
    return ngram_coverage.join_candidates(finalize(*case, **settings))


def finalize(
    tokens, lengths, active, *, batch_size=1, share=SHARE, memory_bytes=2**30, **more
):
    """What the reduction gives; the last batch is filled up with windows that do not exist."""
    spread = devices.spread(len(tokens), batch_size, number=1)
    padded = spread.windows_padded
    reduction = ngram_coverage.ngram_coverage(
        tokens,
        lengths,
        SPECIAL,
        active.shape[-1],
        spread=spread,
        coverage_share=share,
        memory_bytes=memory_bytes,
        **more,
    )
    filler = [(0, padded - len(tokens)), (0, 0), (0, 0)]
    everywhere = np.pad(active, filler, constant_values=True)
    state, update = reduction.init(), jax.jit(reduction.update)
    for first in range(0, padded, batch_size):
        batch = reductions.Batch(*[None] * 5, first_window=jnp.int32(first))
        activation = jnp.asarray(everywhere[first : first + batch_size], jnp.float32)
        state = update(state, activation, batch)
    return reduction.finalize(reduction.merge(state[None]))


def candidate_rows(arrays, n):
    names = ("neuron", "ngram", "activations", "occurrences")
    columns = [arrays[f"candidate_{n}_{name}"] for name in names]
    assert all(column.dtype == np.int32 for column in columns)
    assert columns[1].shape == (len(columns[0]), n)
    return [
        (int(neuron), tuple(ngram.tolist()), int(activations), int(occurrences))
        for neuron, ngram, activations, occurrences in zip(*columns, strict=True)
    ]


def assert_agrees(tokens, lengths, active, **settings):
    """`count` gives what `brute_force` gives; returns it."""
    arrays = count(tokens, lengths, active, **settings)
    share = settings.get("share", SHARE)
    most = settings.get("most_candidates", 64)
    wanted = ngram_oracle.brute_force(
        tokens, lengths, active, SPECIAL, share, most, settings.get("candidate_share")
    )
    assert arrays["ngram_coverage"].dtype == np.int32
    assert arrays["ngram_activation_count"].dtype == np.int64
    for name in ("ngram_coverage", "ngram_activation_count"):
        np.testing.assert_array_equal(arrays[name], wanted[name])
    for n in (1, 2, 3):
        assert candidate_rows(arrays, n) == wanted[f"candidate_{n}"]
    return arrays


def random_case(seed, windows, positions, neurons, vocabulary, density):
    """Tokens with special ones among them, windows cut anywhere, neurons of every sparsity."""
    random = np.random.default_rng(seed)
    tokens = 1 + random.geometric(1 - 0.5 ** (4 / vocabulary), (windows, positions))
    lengths = random.integers(1, positions, windows, endpoint=True).astype(np.int32)
    densities = random.choice([0, density, density / 8, 1], neurons)
    active = random.random((windows, positions, neurons)) < densities
    return tokens.astype(np.int32), lengths, active


@hypothesis.settings(max_examples=4, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    windows=st.integers(1, 5),
    positions=st.sampled_from([1, 2, 5, 40]),
    neurons=st.sampled_from([1, 7, 33, 70]),
    vocabulary=st.sampled_from([3, 30, 500]),
    density=st.sampled_from([0.02, 0.2, 0.8]),
    batch_size=st.integers(1, 3),
    share=st.sampled_from(
        [SHARE, Fraction(1, 2), Fraction(1), Fraction(999983, 10**6)]
    ),
    candidate_share=st.sampled_from([None, Fraction(1, 2)]),
    most_candidates=st.sampled_from([1, 5, 64]),
    memory_bytes=st.sampled_from([1, 20_000, 2**30]),
)
def test_agrees_with_a_dictionary_per_neuron(
    seed, windows, positions, neurons, vocabulary, density, **settings
):
    case = random_case(seed, windows, positions, neurons, vocabulary, density)
    assert_agrees(*case, **settings)


def one_window(text):
    """A BOS and then `text`."""
    tokens = np.array([[BOS, *text]], np.int32)
    return tokens, np.array([tokens.shape[1]], np.int32)


def test_another_batch_size_and_budget_give_the_same_arrays():
    case = random_case(0, 5, 40, 70, 30, 0.2)
    wanted = count(*case)
    arrays = count(*case, batch_size=2, memory_bytes=1)
    assert arrays.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(arrays[name], wanted[name])


def test_ties_do_not_change_coverage_and_all_tied_ngrams_are_candidates():
    tokens, lengths = one_window([10, 11, 12, 13])
    active = np.ones((1, 5, 1), bool)
    arrays = assert_agrees(tokens, lengths, active, share=Fraction(1, 2))
    assert arrays["ngram_coverage"][:, 0].tolist() == [2, 2, 1]
    assert len(arrays["candidate_1_neuron"]) == 4


def test_share_is_exact_at_its_boundary():
    tokens, lengths = one_window([10] * 19 + [11])
    active = np.ones((1, 21, 1), bool)
    assert assert_agrees(tokens, lengths, active)["ngram_coverage"][0, 0] == 1
    above = assert_agrees(tokens, lengths, active, share=Fraction(950001, 10**6))
    assert above["ngram_coverage"][0, 0] == 2


def test_neuron_active_on_every_token_is_covered_by_the_commonest_ngrams():
    tokens, lengths, _ = random_case(1, 3, 200, 1, 60, 0.5)
    active = np.ones((3, 200, 1), bool)
    arrays = assert_agrees(tokens, lengths, active)
    assert arrays["ngram_coverage"][0, 0] > 1


def test_neuron_active_only_on_special_tokens_has_coverage_zero():
    tokens = np.array([[BOS, 5, 6, BOS, 5, 1]], np.int32)
    active = np.isin(tokens, SPECIAL)[..., None]
    arrays = assert_agrees(tokens, np.array([5], np.int32), active)
    assert not arrays["ngram_coverage"].any()
    assert not arrays["ngram_activation_count"].any()
    assert len(arrays["candidate_1_neuron"]) == 0


def test_padding_is_not_counted():
    tokens = np.array([[BOS, 5, 6, 7]], np.int32)
    active = np.ones((1, 4, 1), bool)
    arrays = assert_agrees(tokens, np.array([3], np.int32), active)
    assert arrays["ngram_activation_count"][:, 0].tolist() == [2, 1, 0]


def test_ngram_seen_once_covers_a_neuron_active_there_alone():
    tokens, lengths = one_window([5, 6, 5, 6, 9, 5])
    active = (tokens == 9)[..., None]
    arrays = assert_agrees(tokens, lengths, active)
    assert arrays["ngram_coverage"][:, 0].tolist() == [1, 1, 1]
    assert candidate_rows(arrays, 3) == [(0, (5, 6, 9), 1, 1)]


@cases.each("text", [[], [5], [5, 6]], every_day=[[5]])
def test_corpus_shorter_than_n_has_no_ngrams(text):
    tokens, lengths = one_window(text)
    active = np.ones((1, tokens.shape[1], 9), bool)
    arrays = assert_agrees(tokens, lengths, active)
    assert not arrays["ngram_coverage"][len(text) :].any()
    assert arrays["candidate_3_ngram"].shape == (0, 3)


def test_ngrams_do_not_reach_over_windows_or_special_tokens():
    tokens = np.array([[5, 6], [7, BOS], [8, 9]], np.int32)
    active = np.ones((3, 2, 1), bool)
    arrays = assert_agrees(tokens, np.array([2, 2, 2], np.int32), active, batch_size=2)
    ngrams = [row[1] for row in candidate_rows(arrays, 2)]
    assert ngrams == [(5, 6), (8, 9)]


def test_neurons_with_larger_coverage_have_no_candidates():
    tokens, lengths = one_window(range(10, 80))
    active = np.zeros((1, 71, 2), bool)
    active[0, 1:, 0] = True
    active[0, 1:65, 1] = True
    arrays = assert_agrees(tokens, lengths, active, share=Fraction(1))
    assert arrays["ngram_coverage"][0].tolist() == [70, 64]
    assert set(arrays["candidate_1_neuron"].tolist()) == {1}


def test_ngram_counts_of_every_size_class():
    text = [token for token in range(10, 50) for _ in range(token - 9)]
    tokens, lengths = one_window(np.random.default_rng(2).permutation(text))
    active = np.random.default_rng(3).random((1, len(text) + 1, 9)) < 0.6
    assert_agrees(tokens, lengths, active)


def test_candidates_of_more_neurons_than_are_looked_through_at_once():
    tokens = np.arange(3, 70_003, dtype=np.int32)[None]
    places = 1 + 900 * np.arange(70)
    active = np.zeros((*tokens.shape, len(places)), bool)
    active[0, places, np.arange(len(places))] = True
    arrays = count(tokens, np.array([tokens.size], np.int32), active)
    wanted = [(i, (2 + p, 3 + p), 1, 1) for i, p in enumerate(places.tolist())]
    assert candidate_rows(arrays, 2) == wanted


def test_a_batch_of_another_size_is_refused():
    spread = devices.spread(3, 3, number=1)
    reduction = ngram_coverage.ngram_coverage(
        np.full((3, 4), 5, np.int32), np.full(3, 4), SPECIAL, 8, spread=spread
    )
    batch = reductions.Batch(*[None] * 5, first_window=jnp.int32(0))
    with pytest.raises(AssertionError, match="shape"):
        reduction.update(reduction.init(), jnp.ones((2, 4, 8), bool), batch)


def test_counting_stays_within_its_budget():
    """Nothing of size neurons x n-grams exists: what XLA allots per block is within the stated bytes."""
    random = np.random.default_rng(4)
    neurons, budget = 1024, 400_000
    tokens = random.zipf(1.3, (8, 256)).clip(3, 50_000).astype(np.int32)
    lengths = np.full(8, 256, np.int32)
    spread = devices.spread(8, 2, number=1)
    for n in (2, 3):
        order = ngram_order.order_ngrams(tokens, lengths, SPECIAL, n, spread)
        per_word = ngram_order.bytes_per_word(order)
        blocks = ngram_order.cut_neurons(neurons, per_word, budget, 1)
        bits = jax.ShapeDtypeStruct(
            (len(order.layout.places), packed_bits.WORD, blocks.width), jnp.uint32
        )
        masks = jax.ShapeDtypeStruct((tokens.size, blocks.words), jnp.uint32)
        gathering = ngram_counts.slot_bits.lower(
            masks, 0, order.places, order.occupied, blocks.width, spread.mesh
        )
        counting = ngram_counts.count.lower(bits, order.owners, order.layout.shape)
        counts = jax.eval_shape(
            lambda b, o=order: ngram_counts.count(b, o.owners, o.layout.shape), bits
        )
        needed = jax.ShapeDtypeStruct(counts.total.shape, jnp.int32)
        covering_counts = ngram_counts.coverage.lower(
            counts, needed, order.layout.shape.most_occurrences
        )
        table = 4 * neurons * len(order.distinct.tokens)
        assert 4 * budget < table
        assert blocks.number > 1
        for lowered in (gathering, counting, covering_counts):
            sizes = lowered.compile().memory_analysis()
            assert sizes.temp_size_in_bytes + sizes.output_size_in_bytes <= budget


@cases.each("memory_bytes", [1, 2**30], every_day=[2**30])
def test_candidates_come_in_pieces_of_bounded_length(memory_bytes):
    tokens, lengths, active = random_case(6, 4, 32, 70, 30, 0.1)
    whole = count(tokens, lengths, active, memory_bytes=memory_bytes)
    found = finalize(
        tokens, lengths, active, memory_bytes=memory_bytes, candidates_at_once=50
    )
    pieces = list(found["candidates"])
    for n in (1, 2, 3):
        sizes = [len(p[name]) for p in pieces if (name := f"candidate_{n}_neuron") in p]
        neurons = whole[f"candidate_{n}_neuron"]
        assert len(sizes) > 3 and sum(sizes) == len(neurons)
        assert max(sizes) <= 50 + np.bincount(neurons).max()
    joined = ngram_coverage.join_candidates(found | {"candidates": pieces})
    assert joined.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(joined[name], whole[name])

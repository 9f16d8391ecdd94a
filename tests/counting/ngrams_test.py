"""N-grams of a corpus, their places and their slots."""

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.counting import ngrams, packed_bits
from tests.support import cases

SPECIAL = (1, 2)


def random_corpus():
    random = np.random.default_rng(0)
    tokens = random.geometric(0.15, (6, 50)).astype(np.int32)
    return tokens, random.integers(1, 50, 6)


def text_at(tokens, place, n):
    window, last = divmod(int(place), tokens.shape[1])
    return tuple(tokens[window, last - n + 1 : last + 1].tolist())


@cases.each("n", [1, 2, 3])
def test_index_lists_every_occurrence_under_its_ngram_in_order(n):
    tokens, lengths = random_corpus()
    index = ngrams.ngram_index(tokens, lengths, SPECIAL, n)
    wanted = sorted(
        (text_at(tokens, window * 50 + last, n), window * 50 + last)
        for window in range(6)
        for last in range(n - 1, lengths[window])
        if not set(text_at(tokens, window * 50 + last, n)) & set(SPECIAL)
    )
    listed = np.repeat(index.tokens, index.occurrences, axis=0)
    assert [tuple(ngram) for ngram in listed.tolist()] == [row[0] for row in wanted]
    assert index.places.tolist() == [row[1] for row in wanted]
    assert len({tuple(ngram) for ngram in index.tokens.tolist()}) == len(index.tokens)
    assert all(array.dtype == np.int32 for array in index)


def test_window_shorter_than_n_has_no_ngrams():
    index = ngrams.ngram_index(np.full((2, 2), 5, np.int32), np.array([2, 2]), (), 3)
    layout = ngrams.slot_layout(index)
    assert index.tokens.shape == (0, 3)
    assert layout.places.shape == (0, packed_bits.WORD)
    assert layout.shape == ngrams.LayoutShape((0, 0, 0, 0), 0, 0)


@cases.each("n", [1, 2, 3])
def test_every_occurrence_has_one_slot_beside_the_others_of_its_ngram(n):
    index = ngrams.ngram_index(*random_corpus(), SPECIAL, n)
    layout = ngrams.slot_layout(index)
    ranks, places = layout.ranks.reshape(-1), layout.places.reshape(-1)
    taken = ranks >= 0
    listed = np.repeat(np.arange(len(index.tokens)), index.occurrences)
    by_rank = np.argsort(ranks[taken], kind="stable")
    np.testing.assert_array_equal(ranks[taken][by_rank], listed)
    np.testing.assert_array_equal(places[taken][by_rank], index.places)
    np.testing.assert_array_equal(
        packed_bits.unpack_on_host(layout.occupied), layout.ranks >= 0
    )
    assert np.count_nonzero(np.diff(ranks[taken])) == len(index.tokens) - 1


def test_fields_hold_one_ngram_each_and_frequent_ngrams_own_their_words():
    layout = ngrams.slot_layout(ngrams.ngram_index(*random_corpus(), SPECIAL, 1))
    assert layout.shape.frequent > 1
    first = 0
    for size, words in zip(
        packed_bits.FIELD_SIZES, layout.shape.field_words, strict=True
    ):
        for field in layout.ranks[first : first + words].reshape(-1, size):
            assert len(set(field[field >= 0].tolist())) <= 1
        first += words
    owners = layout.ranks[first:, 0]
    assert (np.diff(layout.owners) == (np.diff(owners) != 0)).all()
    for word, owner in zip(layout.ranks[first:], owners, strict=True):
        assert set(word.tolist()) <= {-1, owner}


def test_more_places_than_int32_holds_are_refused():
    windows = np.broadcast_to(np.int32(5), (2**20, 2**11))
    with pytest.raises(errors.UsageError, match="1048576 windows of 2048 tokens"):
        ngrams.ngram_index(windows, np.full(2**20, 2**11), SPECIAL, 1)

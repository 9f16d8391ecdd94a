"""Which n-grams a corpus holds, how often and where: windows of tokens in, sorted n-grams and their places out.

Host only (NumPy), once a study. An occurrence of an n-gram is `(x_{t-n+1} ... x_t)` inside one window with
no special token in it (paper §4); it belongs to place `window * T + t`. The order of an n-gram's places, and
the slots that `slot_layout` gives them, are the same for every layer, so layers only gather and count.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.counting import packed_bits


class NgramIndex(NamedTuple):
    """The distinct n-grams of a corpus, sorted by token ids; an n-gram's rank is its row.

    Attributes:
        tokens: int32[G, n], the distinct n-grams.
        occurrences: int32[G], how often each occurs.
        places: int32[sum of occurrences], the places of n-gram 0 first, ascending, then those of n-gram 1, ...
    """

    tokens: np.ndarray
    occurrences: np.ndarray
    places: np.ndarray


class LayoutShape(NamedTuple):
    """The sizes in a `SlotLayout`, hashable: what a compiled counting function depends on.

    Attributes:
        field_words: for each of `packed_bits.FIELD_SIZES`, the number of words with fields of that size.
        frequent: number of n-grams too frequent for a field.
        most_occurrences: occurrences of the most frequent n-gram.
    """

    field_words: tuple[int, ...]
    frequent: int
    most_occurrences: int


class SlotLayout(NamedTuple):
    """A bit for every occurrence of every n-gram, in words of 32 slots, so that counting is bit arithmetic.

    An n-gram with at most 8 occurrences has a field of 1, 2, 4 or 8 slots; words of small fields come first.
    A more frequent n-gram has words of its own. Slots left over are empty.

    Attributes:
        places: int32[U, 32], the place that each slot of the U words stands for; 0 where empty.
        occupied: uint32[U], the bits of the slots that are not empty.
        ranks: int32[U, 32], the n-gram that each slot belongs to; -1 where empty.
        owners: int32[last words], for words of frequent n-grams: which of these, 0-based, ascending.
        shape: the sizes.
    """

    places: np.ndarray
    occupied: np.ndarray
    ranks: np.ndarray
    owners: np.ndarray
    shape: LayoutShape


def ngram_index(
    tokens: np.ndarray, lengths: np.ndarray, special_tokens: Collection[int], n: int
) -> NgramIndex:
    """Finds and sorts the n-grams of `tokens` int32[W, T], windows of `lengths` int32[W] tokens and then padding."""
    windows, positions = tokens.shape
    if windows * positions >= 2**31:
        raise errors.UsageError(
            f"a pass of {windows} windows of {positions} tokens; n-grams are counted over fewer than 2**31 tokens"
        )
    ends, ngrams = _occurrences(tokens, lengths, special_tokens, n)
    order = np.lexsort(ngrams.T[::-1])
    ngrams = ngrams[order]
    begins_run = np.ones(len(ngrams), bool)
    begins_run[1:] = (ngrams[1:] != ngrams[:-1]).any(axis=1)
    starts = np.flatnonzero(begins_run)
    return NgramIndex(
        tokens=ngrams[starts],
        occurrences=np.diff(starts, append=len(ngrams)).astype(np.int32),
        places=ends[order].astype(np.int32),
    )


def _occurrences(
    tokens: np.ndarray, lengths: np.ndarray, special_tokens: Collection[int], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every n-gram occurrence in order of its place: places int64[N] and tokens int32[N, n]."""
    positions = tokens.shape[1]
    ordinary = np.arange(positions) < lengths[:, None]
    ordinary &= ~np.isin(tokens, list(special_tokens))
    firsts = max(positions - n + 1, 0)
    whole = np.ones((len(tokens), firsts), bool)
    for offset in range(n):
        whole &= ordinary[:, offset : offset + firsts]
    window, first = np.nonzero(whole)
    ngrams = [tokens[window, first + offset] for offset in range(n)]
    return window * positions + first + n - 1, np.stack(ngrams, axis=1)


def slot_layout(index: NgramIndex) -> SlotLayout:
    """Gives every occurrence in `index` its slot."""
    starts, field_words, frequent_words = _slot_starts(index.occurrences)
    words = sum(field_words) + int(frequent_words.sum())
    run_starts = np.cumsum(index.occurrences, dtype=np.int64) - index.occurrences
    slots = np.arange(len(index.places))
    slots += np.repeat(starts - run_starts, index.occurrences)
    places = np.zeros(words * packed_bits.WORD, np.int32)
    places[slots] = index.places
    ranks = np.full(words * packed_bits.WORD, -1, np.int32)
    ranks[slots] = np.repeat(np.arange(len(starts)), index.occurrences)
    by_word = ranks.reshape(words, packed_bits.WORD)
    frequent = len(frequent_words)
    return SlotLayout(
        places=places.reshape(words, packed_bits.WORD),
        occupied=packed_bits.pack_on_host(by_word >= 0),
        ranks=by_word,
        owners=np.repeat(np.arange(frequent, dtype=np.int32), frequent_words),
        shape=LayoutShape(field_words, frequent, int(index.occurrences.max(initial=0))),
    )


def _slot_starts(
    occurrences: np.ndarray,
) -> tuple[np.ndarray, tuple[int, ...], np.ndarray]:
    """The first slot of each n-gram, int64[G]; words by field size; words of each frequent n-gram."""
    starts = np.empty(len(occurrences), np.int64)
    field_words = []
    words = below = 0
    for size in packed_bits.FIELD_SIZES:
        chosen = np.flatnonzero((occurrences > below) & (occurrences <= size))
        starts[chosen] = packed_bits.WORD * words + size * np.arange(len(chosen))
        field_words.append(packed_bits.word_count(size * len(chosen)))
        words += field_words[-1]
        below = size
    chosen = np.flatnonzero(occurrences > below)
    own_words = packed_bits.word_count(occurrences[chosen])
    starts[chosen] = packed_bits.WORD * (words + np.cumsum(own_words) - own_words)
    return starts, tuple(field_words), own_words

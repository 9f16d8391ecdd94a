"""Windows and shares against definitions spelled out token by token."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxneurons.text import windows
from tests.support import cases

MARKS = windows.Marks(start=3, separator=2, padding=1)


def test_windows_drawn_by_hand():
    streams = [np.arange(10, 15, dtype=np.int32), np.array([20, 21], np.int32)]
    tokens, lengths, domains = windows.cut(streams, 3, MARKS)
    expected = [[3, 10, 11], [3, 12, 13], [3, 14, 1], [3, 20, 21]]
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(lengths, [3, 3, 2, 3])
    np.testing.assert_array_equal(domains, [0, 0, 0, 1])
    assert {tokens.dtype, lengths.dtype, domains.dtype} == {np.dtype(np.int32)}


@given(st.integers(0, 200), st.integers(2, 20))
def test_counted_tokens_are_those_of_the_windows(stream, window):
    tokens, lengths, _ = windows.cut([np.full(stream, 5, np.int32)], window, MARKS)
    assert (
        windows.counted_tokens(stream, window) == lengths.sum() == (tokens != 1).sum()
    )


@given(st.integers(0, 200), st.integers(2, 20))
def test_stream_limit_is_the_longest_stream_that_fits(share, window):
    limit = windows.stream_limit(share, window)
    assert windows.counted_tokens(limit, window) <= share
    assert windows.counted_tokens(limit + 1, window) > share


@cases.each(
    "needs, share",
    [([None], 100), ([None, None, None], 33), ([10, None, None], 45), ([99, None], 1)],
)
def test_what_some_leave_is_shared_by_the_others(needs, share):
    assert windows.equal_share(100, needs) == share

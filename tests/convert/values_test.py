"""Conditions on the elements of tensors, wherever the first that meets them lies."""

import numpy as np
import pytest

from convert import values
from jaxneurons.store import format
from tests.support import cases


@pytest.mark.fault(case=12)
@cases.each("dtype", [*format.DTYPES, "float64"])
def test_every_kind_of_number_is_told_from_nan_and_infinity(dtype):
    kind = format.DTYPES.get(dtype, np.dtype(np.float64))
    # The upper bits say what a number is.
    bits = np.arange(2**16, dtype=np.uint64) << (8 * kind.itemsize - 16)
    numbers = bits.astype(f"u{kind.itemsize}").view(kind)
    with np.errstate(invalid="ignore"):
        wanted = ~np.isfinite(numbers)
    np.testing.assert_array_equal(values.is_not_finite(numbers), wanted)


@pytest.mark.fault(case=12)
@cases.each("piece_size", [1, 7, 20, 1000])
def test_the_first_element_is_found_in_any_piece(piece_size):
    for place in ((0, 0), (3, 4), (1, 2)):
        tensor = np.zeros((4, 5), np.float32)
        tensor[place] = tensor[3, 4] = np.nan
        found = values.first_where(values.is_not_finite, tensor, piece_size=piece_size)
        assert found == place
    whole = np.ones((4, 5), np.float32)
    assert (
        values.first_where(values.is_not_finite, whole, piece_size=piece_size) is None
    )


def test_differences_are_of_values_whatever_their_types():
    one = np.array([1.5, np.nan, np.inf, 2.0], np.float16)
    assert values.first_where(values.differ, one, one.astype(np.float32)) is None
    other = np.array([1.5, np.nan, np.inf, 2.0 + 2**-40])
    assert values.first_where(values.differ, one, other) == (3,)


def test_an_overflow_is_infinity_where_there_was_none():
    before = np.array([np.inf, 1e5, 1.0], np.float32)
    with np.errstate(over="ignore"):
        after = before.astype(np.float16)
    assert values.overflows(before, after).tolist() == [False, True, False]

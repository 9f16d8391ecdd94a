"""The elements of a tensor, looked at in pieces that fit the processor's cache.

In: tensors and a condition on their elements. Out: the index of the first that meets it.
"""

from collections.abc import Callable

import numpy as np

# A condition needs a few masks and copies of a piece.
PIECE_SIZE = 2**18


def first_where(
    condition: Callable[..., np.ndarray],
    *tensors: np.ndarray,
    piece_size: int = PIECE_SIZE,
) -> tuple[int, ...] | None:
    """The index of the first element that meets a condition; None if none does.

    Args:
        condition: such as `is_not_finite`; is given flat pieces of the tensors and gives a mask.
        tensors: of one shape.
        piece_size: elements of a piece.
    """
    flat = [tensor.reshape(-1) for tensor in tensors]
    for begin in range(0, flat[0].size, piece_size):
        mask = condition(*(each[begin : begin + piece_size] for each in flat))
        if mask.any():
            index = np.unravel_index(begin + int(mask.argmax()), tensors[0].shape)
            return tuple(int(axis) for axis in index)
    return None


def is_not_finite(piece: np.ndarray) -> np.ndarray:
    """Where NaN and infinity are.

    By their bits, since NumPy's own test of 16-bit floats is slow: of these values alone all bits
    of the exponent are set, as those of infinity.
    """
    bits = piece.view(f"u{piece.itemsize}")
    infinity = np.array(np.inf, piece.dtype).view(bits.dtype)
    return (bits & infinity) == infinity


def differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two tensors, perhaps of two types, have different values; NaN is equal to NaN."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def overflows(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a cast made infinity of a finite value."""
    return is_not_finite(after) & ~is_not_finite(before)

"""A `.safetensors` file: its table of contents, and one tensor at a time.

In: a path. Out: NumPy arrays. The header is checked against the file before anything is allocated,
and tensors are read, not mapped, so memory stays at what is asked for however large the file.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxneurons import errors
from jaxneurons.disk import files, strict_json

LENGTH_BYTES = 8
METADATA_KEY = "__metadata__"
MAX_AXES = 8
# The format's name of a type -> NumPy's.
DTYPES: Mapping[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}


class Tensor(NamedTuple):
    """An entry of the table of contents; `begin` counts from the start of the file."""

    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int


@dataclasses.dataclass(frozen=True)
class SafetensorsFile:
    """A file whose header has been checked; made by `open_file`."""

    path: pathlib.Path
    tensors: Mapping[str, Tensor]

    def pieces(self, key: str, piece_size: int) -> Iterator[np.ndarray]:
        """A tensor's elements in order, flat, in arrays of `piece_size`; the last may be smaller.

        Raises:
            CheckpointError: the file became shorter.
            InputOutputError: the operating system refuses.
        """
        tensor = self.tensors[key]
        left = math.prod(tensor.shape)
        with files.translated("read", self.path), open(self.path, "rb") as file:
            file.seek(tensor.begin)
            while left:
                piece = np.fromfile(file, tensor.dtype, min(piece_size, left))
                if piece.size != min(piece_size, left):
                    raise errors.CheckpointError(f"{self.path}: truncated in {key}")
                left -= piece.size
                yield piece

    def read(self, key: str) -> np.ndarray:
        """A whole tensor, in its shape; raises as `pieces`."""
        tensor = self.tensors[key]
        pieces = list(self.pieces(key, math.prod(tensor.shape)))
        flat = pieces[0] if pieces else np.empty(0, tensor.dtype)
        return flat.reshape(tensor.shape)


def open_file(path: pathlib.Path) -> SafetensorsFile:
    """Reads and checks the table of contents.

    Raises:
        CheckpointError: the file is truncated or its header is not what the format says.
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path), open(path, "rb") as file:
        file_bytes = path.stat().st_size
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        data_begin = LENGTH_BYTES + length
        if file_bytes < LENGTH_BYTES or data_begin > file_bytes:
            raise _damaged(path, f"truncated at {file_bytes} bytes, within its header")
        if length > strict_json.MAX_BYTES:
            raise _damaged(path, f"its header claims {length} bytes")
        header = file.read(length)
    where = f"{path}: safetensors header"
    entries = strict_json.parse_object(header, where, errors.CheckpointError)
    entries.pop(METADATA_KEY, None)
    tensors, ends = {}, {}
    for key, entry in entries.items():
        begin, end = _checked_entry(path, key, entry)
        shape, dtype = tuple(entry["shape"]), DTYPES[entry["dtype"]]
        tensors[key] = Tensor(shape, dtype, data_begin + begin)
        ends[key] = data_begin + end
    _check_extents(path, tensors, ends, data_begin, file_bytes)
    return SafetensorsFile(path, tensors)


def _checked_entry(path: pathlib.Path, key: str, entry: Any) -> tuple[int, int]:
    """The first byte and the one after the last, from the start of the data."""
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise _damaged(path, f"{_short(key)} wants dtype, shape and data_offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        kind = _short(entry["dtype"])
        raise _damaged(path, f"{_short(key)} has dtype {kind}, which is not supported")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _damaged(
            path, f"{_short(key)} has shape {_short(shape)} at {_short(offsets)}"
        )
    size = math.prod(shape) * DTYPES[entry["dtype"]].itemsize
    if offsets[1] - offsets[0] != size:
        raise _damaged(
            path,
            f"{_short(key)} of shape {_short(shape)} needs {size} bytes, its offsets "
            f"{_short(offsets)} give {offsets[1] - offsets[0]}",
        )
    return offsets[0], offsets[1]


def _check_extents(
    path: pathlib.Path,
    tensors: Mapping[str, Tensor],
    ends: Mapping[str, int],
    data_begin: int,
    file_bytes: int,
) -> None:
    """Tensors must follow one another from the header to the end of the file."""
    position = data_begin
    for key in sorted(tensors, key=lambda key: (tensors[key].begin, ends[key])):
        if tensors[key].begin != position:
            kind = (
                "overlaps" if tensors[key].begin < position else "leaves a hole after"
            )
            raise _damaged(path, f"{_short(key)} {kind} the tensor before it")
        position = ends[key]
    if position != file_bytes:
        raise _damaged(
            path,
            f"has {file_bytes} bytes, its header wants {position} (truncated, or a "
            "download was interrupted?)",
        )


def _are_sizes(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > MAX_AXES:
        return False
    return all(type(size) is int and 0 <= size < 2**63 for size in value)


def _short(value: Any) -> str:
    return json.dumps(value)[:100]


def _damaged(path: pathlib.Path, reason: str) -> errors.CheckpointError:
    return errors.CheckpointError(f"{path}: {reason}")

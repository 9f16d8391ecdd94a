"""A `.safetensors` file: its table of contents, and one tensor at a time.

In: a path. Out: NumPy arrays. Tensors are read, not mapped: memory holds what was asked for, and a
broken disk is an exception, not a signal. The library's own reader does it all but for a key that a
header contains twice.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes  # noqa: F401  gives NumPy the bfloat16 that safetensors asks it for
import numpy as np
import safetensors

from convert.shard import Tensor
from jaxneurons import errors
from jaxneurons.disk import files, strict_json

_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_LENGTH_BYTES = 8


@dataclasses.dataclass(frozen=True)
class SafetensorsFile:
    """An opened file, a `shard.Shard`; made by `open_file`."""

    path: pathlib.Path
    tensors: Mapping[str, Tensor]

    def read(self, key: str) -> np.ndarray:
        """A whole tensor; raises as `shard.Shard.read`."""
        with _opened(self.path) as file:
            return file.get_tensor(key)


def open_file(path: pathlib.Path) -> SafetensorsFile:
    """Reads and checks the table of contents.

    Raises:
        CheckpointError: the file is truncated or its header is not what the format says.
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path), open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = file.read(min(length, strict_json.MAX_BYTES))
    tensors = {}
    with _opened(path) as opened:
        for key in opened.offset_keys():
            view = opened.get_slice(key)
            dtype = view.get_dtype()
            tensors[key] = Tensor(tuple(view.get_shape()), _DTYPES.get(dtype, dtype))
    if length > strict_json.MAX_BYTES:
        raise errors.CheckpointError(
            f"{path}: the header has {length:,} bytes, and at most {strict_json.MAX_BYTES:,} are read. Save the tensors "
            "in several files."
        )
    strict_json.parse_object(header, f"{path}: header", errors.CheckpointError)
    return SafetensorsFile(path, tensors)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Any]:
    try:
        with safetensors.safe_open(path, framework="np", backend="pread") as file:
            yield file
    except OSError as error:
        raise files.io_error("read", path, error) from error
    except safetensors.SafetensorError as error:
        if code := re.search(r"\(os error (\d+)\)", str(error)):
            refusal = OSError(int(code[1]), os.strerror(int(code[1])))
            raise files.io_error("read", path, refusal) from error
        raise errors.CheckpointError(
            f"{path} is damaged, or its download was interrupted: {error}"
        ) from error

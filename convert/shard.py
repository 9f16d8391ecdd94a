"""What a file of weights looks like, whatever its format."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np


class Tensor(NamedTuple):
    """An entry of a table of contents: shape and type, "float16" or whatever the file calls it."""

    shape: tuple[int, ...]
    dtype: str


class Shard(Protocol):
    """An opened file whose table of contents has been checked."""

    @property
    def path(self) -> pathlib.Path:
        """Where the file is."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The table of contents by key, in the order of the data where the format has one."""

    def read(self, key: str) -> np.ndarray:
        """A whole tensor of floats, in memory of its own.

        Raises:
            CheckpointError: the tensor's data is damaged.
            InputOutputError: the operating system refuses.
        """

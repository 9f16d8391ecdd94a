"""The residual stream after a layer as one file: batches float[N * B, T, D] in, the same bits and their digests out.

Each process writes and reads the parts of its own devices, at their places in the file: on a disk that all of them
share the file is whole, so that another number of processes can go on; on disks of their own each has a file with
holes.
"""

import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from jaxneurons import devices, errors
from jaxneurons.disk import arrays, files


class BatchFile:
    """The format of such files: batches one after the other, each of equal parts.

    Args:
        shape: (N * B, T, D) of a batch.
        dtype: of the residual stream.
        parts: N, of a batch.
        own: which of them are this process's, side by side.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        parts: int,
        own: slice,
    ):
        self._dtype = dtype
        self._own = len(range(parts)[own])
        self._shape = (shape[0] // parts * self._own, *shape[1:])
        self._size = int(np.prod(self._shape)) * dtype.itemsize
        part = int(np.prod(shape)) * dtype.itemsize // parts
        self._stride, self._first = parts * part, own.start * part

    def write(self, path: pathlib.Path, batch: int, x: jax.Array) -> list[str]:
        """Puts this process's parts of a batch in their place and gives the digest of each.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        content = devices.own_part(x).reshape(-1).view(np.uint8)
        try:
            path.touch()
            with open(path, "r+b") as file:
                file.seek(batch * self._stride + self._first)
                file.write(content.data)
        except OSError as error:
            raise files.io_error("write", path, error, self._size) from error
        return list(self._digests(content))

    def read(
        self, path: pathlib.Path, batch: int, digests: Sequence[str] = ()
    ) -> np.ndarray:
        """This process's parts of a batch, with zeros for what a file that is too short lacks.

        Args:
            path: of the file.
            batch: its index.
            digests: of this process's parts of all batches, as far as they are known.

        Raises:
            StudyError: a part has another digest.
            InputOutputError: the operating system refuses.
        """
        with files.translated("read", path), open(path, "rb") as file:
            file.seek(batch * self._stride + self._first)
            content = file.read(self._size).ljust(self._size, b"\0")
        known = digests[batch * self._own : (batch + 1) * self._own]
        if known:
            found = list(self._digests(np.frombuffer(content, np.uint8)))
            if found[: len(known)] != list(known):
                raise errors.StudyError(
                    f"{path} is not as it was written: another program changed it, or the disk is damaged. "
                    "Resume the study to compute it again."
                )
        return np.frombuffer(content, self._dtype).reshape(self._shape)

    def digests(self, path: pathlib.Path, parts: int) -> list[str]:
        """The digests of this process's first so many parts; raises as `read`."""
        batches = range(-(-parts // self._own))
        contents = (
            self.read(path, batch).reshape(-1).view(np.uint8) for batch in batches
        )
        return [digest for content in contents for digest in self._digests(content)][
            :parts
        ]

    def _digests(self, content: np.ndarray) -> Iterator[str]:
        return map(arrays.digest, np.split(content, self._own))

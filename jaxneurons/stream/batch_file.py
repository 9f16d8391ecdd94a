"""The residual stream after a layer as one file: batches float[N * B, T, D] in, the same bits and their digests out."""

import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from jaxneurons import errors
from jaxneurons.disk import arrays, files


class BatchFile:
    """The format of such files: batches one after the other, each of equal parts.

    Args:
        shape: (N * B, T, D) of a batch.
        dtype: of the residual stream.
        parts: N, of a batch.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, parts: int):
        self._shape = shape
        self._dtype = dtype
        self._parts = parts
        self._size = int(np.prod(shape)) * dtype.itemsize

    def write(self, path: pathlib.Path, batch: int, x: jax.Array) -> list[str]:
        """Puts a batch in its place and gives the digest of each part.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        content = np.asarray(x).reshape(-1).view(np.uint8)
        try:
            path.touch()
            with open(path, "r+b") as file:
                file.seek(batch * self._size)
                file.write(content.data)
        except OSError as error:
            raise files.io_error("write", path, error, self._size) from error
        return list(self._digests(content))

    def read(
        self, path: pathlib.Path, batch: int, digests: Sequence[str] = ()
    ) -> np.ndarray:
        """A batch, with zeros for what a file that is too short lacks.

        Args:
            path: of the file.
            batch: its index.
            digests: of the parts of all batches, as far as they are known.

        Raises:
            StudyError: a part has another digest.
            InputOutputError: the operating system refuses.
        """
        with files.translated("read", path), open(path, "rb") as file:
            file.seek(batch * self._size)
            content = file.read(self._size).ljust(self._size, b"\0")
        known = digests[batch * self._parts : (batch + 1) * self._parts]
        if known:
            found = list(self._digests(np.frombuffer(content, np.uint8)))
            if found[: len(known)] != list(known):
                raise errors.StudyError(
                    f"{path} is not as it was written: another program changed it, or the disk is damaged. "
                    "Resume the study to compute it again."
                )
        return np.frombuffer(content, self._dtype).reshape(self._shape)

    def digests(self, path: pathlib.Path, parts: int) -> list[str]:
        """The digests of the first so many parts; raises as `read`."""
        batches = range(-(-parts // self._parts))
        contents = (
            self.read(path, batch).reshape(-1).view(np.uint8) for batch in batches
        )
        return [digest for content in contents for digest in self._digests(content)][
            :parts
        ]

    def _digests(self, content: np.ndarray) -> Iterator[str]:
        return map(arrays.digest, np.split(content, self._parts))

"""The residual stream of a layer as one file: batches float[B, T, D] in, the same bits and their checksums out."""

import pathlib
import zlib

import jax
import numpy as np

from jaxneurons.disk import files


class BatchFile:
    """Batches of one layer, one behind the other.

    Args:
        path: of the file; made by the first write.
        shape: (B, T, D) of a batch.
        dtype: of the residual stream.
        parts: of a batch.

    Attributes:
        size: bytes of a batch.
    """

    def __init__(
        self,
        path: pathlib.Path,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        parts: int,
    ):
        self.path = path
        self._parts = parts
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self.size = int(np.prod(shape)) * self._dtype.itemsize

    def write(self, batch: int, x: jax.Array) -> list[int]:
        """Puts a batch in its place and gives the checksum of each part.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        content = np.asarray(x).reshape(-1).view(np.uint8).data
        try:
            self.path.touch()
            with open(self.path, "r+b") as file:
                file.seek(batch * self.size)
                file.write(content)
        except OSError as error:
            raise files.io_error("write", self.path, error, self.size) from error
        return self._checksums(content)

    def read(self, batch: int) -> tuple[np.ndarray, list[int]]:
        """A batch and the checksum of each part; zeros from the end of a file that is too short.

        Raises:
            InputOutputError: the operating system refuses.
        """
        with files.translated("read", self.path), open(self.path, "rb") as file:
            file.seek(batch * self.size)
            content = file.read(self.size).ljust(self.size, b"\0")
        x = np.frombuffer(content, self._dtype)
        return x.reshape(self._shape), self._checksums(memoryview(content))

    def _checksums(self, content: memoryview) -> list[int]:
        size = self.size // self._parts
        return [
            zlib.crc32(content[first : first + size])
            for first in range(0, self.size, size)
        ]

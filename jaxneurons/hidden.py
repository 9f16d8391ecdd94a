"""The residual stream of all windows between two layers, and its copy on disk that a killed run resumes from.

In: batches float[B, T, D] as the block gives them. Out: the same bits, now or after a restart.
Two files take turns, so that the copy of the last finished layer stands until the next is whole.
A copy is not synced: it outlives its process but perhaps not a power cut, and then its checksums
are wrong, it counts as missing, and the layers below it run again.
"""

import pathlib
import zlib
from collections.abc import Sequence
from concurrent import futures
from typing import Self

import jax
import numpy as np

from jaxneurons import files


class Checkpoint:
    """Copies a layer's batches to disk while the next batch computes.

    Args:
        folder: where the two files live; must exist.
        shape: (B, T, D) of a batch.
        dtype: of the residual stream.
        every: layers from one copy to the next; 0 makes none.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        every: int = 1,
    ):
        self._every = every
        self._folder = folder
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._writer = futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[futures.Future[int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        """Ends the writing thread; the files stay."""
        self._writer.shutdown(cancel_futures=True)

    def save(self, layer: int, batch: int, x: jax.Array) -> None:
        """Queues the copy of one batch after a layer, where it is that layer's turn; returns at once."""
        if self._every and (layer + 1) % self._every == 0:
            self._pending.append(self._writer.submit(self._write, layer, batch, x))

    def finish_layer(self) -> list[int]:
        """Waits for the copies of a layer and gives the checksum of each batch; none for no copy.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        pending, self._pending = self._pending, []
        futures.wait(pending)
        return [copy.result() for copy in pending]

    def load(self, layer: int, checksums: Sequence[int]) -> list[np.ndarray] | None:
        """The batches after a layer, or None where the copy is missing or not the one that was made.

        Raises:
            InputOutputError: the operating system refuses.
        """
        if not self._every or not self._path(layer).exists():
            return None
        path = self._path(layer)
        size = int(np.prod(self._shape)) * self._dtype.itemsize
        batches = []
        with files.translated("read", path), open(path, "rb") as file:
            for checksum in checksums:
                content = file.read(size)
                if len(content) != size or zlib.crc32(content) != checksum:
                    return None
                x = np.frombuffer(content, self._dtype)
                batches.append(x.reshape(self._shape))
        return batches

    def _write(self, layer: int, batch: int, x: jax.Array) -> int:
        content = np.asarray(x).reshape(-1).view(np.uint8).data
        path = self._path(layer)
        try:
            path.touch()
            with open(path, "r+b") as file:
                file.seek(batch * len(content))
                file.write(content)
        except OSError as error:
            raise files.io_error("write", path, error, len(content)) from error
        return zlib.crc32(content)

    def _path(self, layer: int) -> pathlib.Path:
        turn = (layer + 1) // self._every % 2
        return self._folder / f"hidden_{turn}.bin"

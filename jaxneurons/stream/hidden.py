"""The residual stream of all windows between two layers, and its copy on disk that a killed run resumes from.

In: batches float[B, T, D] as the block gives them. Out: the same bits, now or after a restart.
A batch is in parts, one for each device. Files hold one part behind the other and each has its checksum, so
that a run may go on with another number of devices.
Two files take turns, so that the copy of the last finished layer stands until the next is whole.
A copy is not synced: it outlives its process but perhaps not a power cut, and then its checksums
are wrong, it counts as missing, and the layers below it run again.
"""

import pathlib
from collections.abc import Sequence
from concurrent import futures
from typing import Self

import jax
import numpy as np

from jaxneurons.stream import batch_file

# Batches that wait for the disk at a time.
MOST_WAITING = 4


class Checkpoint:
    """Copies a layer's batches to disk while the next batch computes.

    Args:
        folder: where the two files live; must exist.
        shape: (B, T, D) of a batch.
        dtype: of the residual stream.
        every: layers from one copy to the next; 0 makes none.
        sharding: of a batch, equally by windows; None is all on the first device.

    Attributes:
        every: as given.
        sharding: as given.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        every: int = 1,
        sharding: jax.sharding.Sharding | None = None,
    ):
        self.every = every
        self.sharding = sharding
        self._parts = 1 if sharding is None else sharding.num_devices
        self._files = [
            batch_file.BatchFile(
                folder / f"hidden_{turn}.bin", shape, dtype, self._parts
            )
            for turn in (0, 1)
        ]
        self._writer = futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[futures.Future[list[int]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        """Ends the writing thread; the files stay."""
        self._writer.shutdown(cancel_futures=True)

    def file(self, layer: int) -> batch_file.BatchFile:
        """Where the batches after a layer are copied to."""
        return self._files[(layer + 1) // self.every % 2 if self.every else 0]

    def save(self, layer: int, batch: int, x: jax.Array) -> None:
        """Queues the copy of one batch after a layer, where it is that layer's turn."""
        if self.every and (layer + 1) % self.every == 0:
            self.queue(layer, batch, x)

    def queue(self, layer: int, batch: int, x: jax.Array) -> None:
        """Queues the copy of one batch after a layer; returns at once unless the disk lags behind.

        Raises:
            InputOutputError: the operating system refused one of the copies before.
        """
        if len(self._pending) >= MOST_WAITING:
            # A disk slower than the device must not fill the memory with what waits for it, and a
            # full one must not cost the rest of the layer.
            self._pending[-MOST_WAITING].result()
        write = self.file(layer).write
        self._pending.append(self._writer.submit(write, batch, x))

    def finish_layer(self) -> list[int]:
        """Waits for the copies of a layer and gives the checksum of each part; none for no copy.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        pending, self._pending = self._pending, []
        futures.wait(pending)
        return [checksum for copy in pending for checksum in copy.result()]

    def holds(self, layer: int, checksums: Sequence[int]) -> bool:
        """Whether the first parts after a layer, one for each checksum, are there as they were copied.

        Raises:
            InputOutputError: the operating system refuses.
        """
        file = self.file(layer)
        if not self.every or not file.path.exists():
            return False
        return all(
            file.read(first // self._parts)[1][: len(checksums) - first]
            == list(checksums[first : first + self._parts])
            for first in range(0, len(checksums), self._parts)
        )


class InMemory:
    """The residual stream in the device's memory, which on a CPU is the machine's.

    Args:
        checkpoint: where to copy it after each layer; None makes no copies.
    """

    def __init__(self, checkpoint: Checkpoint | None = None):
        self._checkpoint = checkpoint
        self._batches: dict[int, jax.Array] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer; read from the copy where a resumed run begins."""
        if batch in self._batches or self._checkpoint is None:
            return self._batches.pop(batch)
        x = _read_copy(self._checkpoint, layer, batch)
        return jax.device_put(x, self._checkpoint.sharding)

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Keeps a batch after a layer."""
        self._batches[batch] = x
        if self._checkpoint is not None:
            self._checkpoint.save(layer, batch, x)

    def finish_layer(self) -> list[int]:
        """Waits for the copies of a layer; gives their checksums."""
        return [] if self._checkpoint is None else self._checkpoint.finish_layer()


class OnHost:
    """The residual stream in host memory; the next batch comes to the device while one computes.

    Args:
        checkpoint: where to copy it after each layer.
        batches: their number.
    """

    def __init__(self, checkpoint: Checkpoint, batches: int):
        self._checkpoint = checkpoint
        self._number = batches
        self._batches: dict[int, np.ndarray] = {}
        self._coming: dict[int, jax.Array] = {}
        self._leaving: dict[int, jax.Array] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer, its transfer begun before; the next one's begins."""
        x = self._coming.pop(batch, None)
        if x is None:
            x = self._bring(layer, batch)
        if batch + 1 < self._number:
            self._coming[batch + 1] = self._bring(layer, batch + 1)
        return x

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Begins to take a batch after a layer to the host, and ends so with the one before."""
        x.copy_to_host_async()
        self._settle()
        self._leaving[batch] = x
        self._checkpoint.save(layer, batch, x)

    def finish_layer(self) -> list[int]:
        """Waits for the copies of a layer; gives their checksums."""
        self._settle()
        return self._checkpoint.finish_layer()

    def _bring(self, layer: int, batch: int) -> jax.Array:
        x = self._batches.pop(batch, None)
        if x is None:
            x = _read_copy(self._checkpoint, layer, batch)
        return jax.device_put(x, self._checkpoint.sharding)

    def _settle(self) -> None:
        while self._leaving:
            batch, x = self._leaving.popitem()
            self._batches[batch] = np.asarray(x)


class OnDisk:
    """The residual stream in the checkpoint's files alone, a few batches in memory.

    Each layer's copy is where the next one reads from: two files, or with a checkpoint that makes
    no copies one, in which a batch is replaced once it was read and nothing can resume.

    Args:
        checkpoint: whose files to use; it copies every layer or none.
        batches: their number.
    """

    def __init__(self, checkpoint: Checkpoint, batches: int):
        if checkpoint.every > 1:
            raise ValueError(f"a copy every {checkpoint.every} layers: wanted 0 or 1")
        self._checkpoint = checkpoint
        self._batches = batches
        self._reader = futures.ThreadPoolExecutor(1, thread_name_prefix="read-hidden")
        self._upcoming: dict[int, futures.Future[np.ndarray]] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer; the next one is read meanwhile."""
        current = self._upcoming.pop(batch, None) or self._submit(layer, batch)
        if batch + 1 < self._batches:
            self._upcoming[batch + 1] = self._submit(layer, batch + 1)
        return jax.device_put(current.result(), self._checkpoint.sharding)

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Writes a batch after a layer."""
        self._checkpoint.queue(layer, batch, x)

    def finish_layer(self) -> list[int]:
        """Waits for the batches of a layer to be written; gives their checksums if they can resume."""
        checksums = self._checkpoint.finish_layer()
        return checksums if self._checkpoint.every else []

    def _submit(self, layer: int, batch: int) -> futures.Future[np.ndarray]:
        return self._reader.submit(_read_copy, self._checkpoint, layer, batch)


HiddenStates = InMemory | OnHost | OnDisk


def _read_copy(checkpoint: Checkpoint, layer: int, batch: int) -> np.ndarray:
    """A batch before a layer, as the layer below left it on disk."""
    return checkpoint.file(layer - 1).read(batch)[0]

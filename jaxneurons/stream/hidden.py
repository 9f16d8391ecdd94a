"""The residual stream of all windows between two layers, and copies of it from which a killed run resumes.

In: batches float[N * B, T, D] as the step gives them. Out: the same bits, now or after a restart. A batch has one
part of B windows for each of N devices; a process keeps those of its own devices. Files hold one part after the
other, each with its digest, so that a run may resume on another number of devices and, where the processes share a
disk, of processes. A copy is not synced: it outlives its process, but after a power cut its digests
may be wrong; then it counts as missing, and the layers below it run again.
"""

import itertools
import pathlib
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Protocol, Self

import jax
import numpy as np

from jaxneurons import devices, processes
from jaxneurons.stream.batch_file import BatchFile

# Batches that wait for the disk at a time.
MOST_WAITING = 4


class HiddenStates(Protocol):
    """Where the residual stream lives between two layers."""

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer, on the devices; it is forgotten here."""

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Keeps a batch after a layer."""

    def finish_layer(self, layer: int) -> list[str]:
        """Waits for what is under way; gives the digest of each part if the layer was copied to disk.

        All processes call it, and each gets the digests of all parts, whoever keeps them.
        """


class Reporting:
    """Hidden states that call `on_batch` with the index of each batch that is kept, for progress."""

    def __init__(self, hidden: HiddenStates, on_batch: Callable[[int], object]):
        self.take, self.finish_layer = hidden.take, hidden.finish_layer
        self._put, self._on_batch = hidden.put, on_batch

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Keeps the residual stream, and reports it."""
        self._put(layer, batch, x)
        self._on_batch(batch)


class Checkpoint:
    """Copies the residual stream to disk while the next batch computes; one file per copy.

    Args:
        folder: of the files; must exist.
        shape: (N * B, T, D) of a batch.
        dtype: of the residual stream.
        sharding: of a batch, equally by windows.
        minutes: least time from one copy to the next; 0 copies every layer, infinity none.
        last_layer: that runs; what comes after it is not kept.

    Attributes:
        sharding: as given.
        last_layer: as given.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        sharding: jax.sharding.NamedSharding,
        minutes: float,
        last_layer: int,
    ):
        self.sharding = sharding
        self.last_layer = last_layer
        self._folder = folder
        self._parts, self._own = (
            sharding.num_devices,
            devices.own_places(sharding),
        )
        self._format = BatchFile(shape, np.dtype(dtype), self._parts, self._own)
        self._minutes = minutes
        self._copied_layer: int | None = None
        self._digests: Sequence[str] = ()
        self._copied_at = time.monotonic()
        self._copy_seconds = 0.0
        self._is_copying = False
        self._writer = futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[futures.Future[list[str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        """Ends the writing thread; the files stay."""
        self._writer.shutdown(cancel_futures=True)

    def begin(self, layer: int, named: int | None = None) -> None:
        """Decides whether the layer that runs next is copied; if so, copies that nobody will read go.

        A copy has to be due, and to take no longer than it would to compute again what it saves. The first process's
        clock decides, for all.

        Args:
            layer: that runs next.
            named: the layer whose copy a killed run would resume from, as the first process knows it; that copy
                stays beside the last one, so that up to three are on the disk.
        """
        due, named = processes.from_first(lambda: (self._is_due(), named))
        self._is_copying = due and layer < self.last_layer
        if self._is_copying:
            self._copy_seconds = 0.0
            # Another process may have begun with this layer's copy.
            kept = [
                self.path(each)
                for each in (named, self._copied_layer, layer)
                if each is not None
            ]
            for path in self._folder.glob("hidden_*.bin"):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def _is_due(self) -> bool:
        elapsed = time.monotonic() - self._copied_at
        least = max(60 * self._minutes, self._copy_seconds)
        return self._minutes == 0 or elapsed >= least

    def save(self, layer: int, batch: int, x: jax.Array) -> None:
        """Copies a batch after a layer if the layer is copied; returns at once unless the disk lags behind.

        Raises:
            InputOutputError: the operating system refused one of the copies before.
        """
        if not self._is_copying:
            return
        if len(self._pending) >= MOST_WAITING:
            # A disk slower than the device must not fill the memory with what waits for it, and a
            # full one must not cost the rest of the layer.
            self._pending[-MOST_WAITING].result()
        self._pending.append(self._writer.submit(self._write, layer, batch, x))

    def finish_layer(self, layer: int) -> list[str]:
        """Waits for the copies of a layer and gives the digest of each part; none if it was not copied.

        Raises:
            InputOutputError: the operating system refuses, for instance on a full disk.
        """
        pending, self._pending = self._pending, []
        futures.wait(pending)
        by_batch = [copy.result() for copy in pending]
        if not by_batch:
            return []
        self._copied_layer, self._digests = layer, [*itertools.chain(*by_batch)]
        self._copied_at = time.monotonic()
        of_all = zip(*processes.exchange(by_batch), strict=True)
        return [digest for batch in of_all for own in batch for digest in own]

    def read(self, layer: int, batch: int) -> np.ndarray:
        """This process's part of a batch; raises as `BatchFile.read`, by the digests of the last whole copy."""
        known = self._digests if layer == self._copied_layer else ()
        return self._format.read(self.path(layer), batch, known)

    def resume(self, layer: int, digests: Sequence[str]) -> bool:
        """Whether the first parts after a layer, one for each digest, are there as they were copied, for all processes.

        Raises:
            InputOutputError: the operating system refuses.
        """
        own = [
            digest
            for first in range(0, len(digests), self._parts)
            for digest in digests[first : first + self._parts][self._own]
        ]
        there = self.path(layer).exists() and own == self._format.digests(
            self.path(layer), len(own)
        )
        whole = all(processes.exchange(there))
        self._copied_layer, self._digests = (layer, own) if whole else (None, ())
        return whole

    def path(self, layer: int) -> pathlib.Path:
        """Where the copy after a layer is."""
        return self._folder / f"hidden_{layer:03d}.bin"

    def _write(self, layer: int, batch: int, x: jax.Array) -> list[str]:
        began = time.monotonic()
        digests = self._format.write(self.path(layer), batch, x)
        self._copy_seconds += time.monotonic() - began
        return digests


class InMemory:
    """The residual stream in the device's memory, which on a CPU is the machine's.

    Args:
        checkpoint: where to copy it; None makes no copies.
    """

    def __init__(self, checkpoint: Checkpoint | None = None):
        self._checkpoint = checkpoint
        self._batches: dict[int, jax.Array] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer; read from the copy where a resumed run begins."""
        if batch in self._batches or self._checkpoint is None:
            return self._batches.pop(batch)
        copy = self._checkpoint.read(layer - 1, batch)
        return devices.put_own(copy, self._checkpoint.sharding)

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Keeps a batch after a layer."""
        self._batches[batch] = x
        if self._checkpoint is not None:
            self._checkpoint.save(layer, batch, x)

    def finish_layer(self, layer: int) -> list[str]:
        """Waits for the copies of the layer; gives their digests."""
        if self._checkpoint is None:
            return []
        return self._checkpoint.finish_layer(layer)


class OnHost:
    """The residual stream in pinned memory of the host, which devices copy from and to while they compute.

    Args:
        checkpoint: where to copy it.
        batches: their number.
    """

    def __init__(self, checkpoint: Checkpoint, batches: int):
        self._checkpoint = checkpoint
        self._number = batches
        self._pinned = checkpoint.sharding.with_memory_kind("pinned_host")
        self._batches: dict[int, jax.Array] = {}
        self._coming: dict[int, jax.Array] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer, whose transfer has begun before; that of the next one begins."""
        x = self._coming.pop(batch, None)
        if x is None:
            x = self._bring(layer, batch)
        if batch + 1 < self._number:
            self._coming[batch + 1] = self._bring(layer, batch + 1)
        return x

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Begins to take a batch after a layer to the host."""
        self._batches[batch] = jax.device_put(x, self._pinned)
        self._checkpoint.save(layer, batch, self._batches[batch])

    def finish_layer(self, layer: int) -> list[str]:
        """Waits for transfers and copies of the layer; gives the copies' digests."""
        jax.block_until_ready(self._batches)
        return self._checkpoint.finish_layer(layer)

    def _bring(self, layer: int, batch: int) -> jax.Array:
        x = self._batches.pop(batch, None)
        if x is not None:
            return jax.device_put(x, self._checkpoint.sharding)
        kept = self._checkpoint.read(layer - 1, batch)
        return devices.put_own(kept, self._checkpoint.sharding)


class OnDisk:
    """The residual stream in the checkpoint's files alone, a few batches of it in memory.

    Args:
        checkpoint: which copies every layer; each copy is where the next layer reads from.
        batches: their number.
    """

    def __init__(self, checkpoint: Checkpoint, batches: int):
        self._checkpoint = checkpoint
        self._number = batches
        self._reader = futures.ThreadPoolExecutor(1, thread_name_prefix="read-hidden")
        self._coming: dict[int, futures.Future[np.ndarray]] = {}

    def take(self, layer: int, batch: int) -> jax.Array:
        """A batch before a layer; the next one is read meanwhile."""
        current = self._coming.pop(batch, None) or self._submit(layer, batch)
        if batch + 1 < self._number:
            self._coming[batch + 1] = self._submit(layer, batch + 1)
        return devices.put_own(current.result(), self._checkpoint.sharding)

    def put(self, layer: int, batch: int, x: jax.Array) -> None:
        """Writes a batch after a layer."""
        self._checkpoint.save(layer, batch, x)

    def finish_layer(self, layer: int) -> list[str]:
        """Waits for the batches of the layer to be written; gives their digests."""
        return self._checkpoint.finish_layer(layer)

    def _submit(self, layer: int, batch: int) -> futures.Future[np.ndarray]:
        return self._reader.submit(self._checkpoint.read, layer - 1, batch)

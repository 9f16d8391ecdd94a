"""Checkpoints by step, through orbax's v1 API: written in the background, whole or not there at all.

In: the state of a run, as trees of arrays by name. Out: `DIRECTORY/<step>/<name>/`. Beside each array
stands a checksum, which is compared on loading: orbax itself misses flipped bits.
"""

import contextlib
import gc
import hashlib
import logging
import os
import pathlib
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint.experimental import v1 as ocp

from jaxneurons import errors
from jaxneurons.disk import files

# The item that holds the run's digest, beside the items of the state.
_RUN = "run"


class Writer:
    """Saves the checkpoints of one run; its block ends when the last one is written.

    Args:
        directory: made if need be; what a killed process left half-written is removed.
        run: tells the run from others.
        keep: steps whose checkpoints stay forever; of the others, the last two do.
    """

    def __init__(self, directory: pathlib.Path, run: str, keep: Sequence[int] = ()):
        policies = ocp.training.preservation_policies
        self._run = run
        self._directory = directory.absolute()
        with self._writing():
            self._checkpointer = ocp.training.Checkpointer(
                self._directory,
                preservation_policy=policies.AnyPreservationPolicy(
                    [policies.LatestN(2), policies.CustomSteps(list(keep))]
                ),
                cleanup_tmp_directories=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        with self._writing():
            self._checkpointer.close()

    def save(self, step: int, items: Mapping[str, Any]) -> None:
        """Begins to save trees of arrays by name; they may be donated as soon as this returns.

        Raises:
            InputOutputError: this or the save before failed.
        """
        with self._writing():
            self._checkpointer.save_checkpointables_async(
                step,
                {
                    name: {"values": tree, "checksums": checksums(tree)}
                    for name, tree in {**items, _RUN: _run_digest(self._run)}.items()
                },
                force=True,
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with _undisturbed():
                yield
        except (OSError, ValueError) as error:
            raise errors.InputOutputError(
                f"cannot write {self._directory}: {_reason(error)} "
                f"({files.free_bytes(self._directory)} bytes free)"
            ) from error


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait for the end of the block; the second of them ends the process at once.

    Interrupted while it waits for its threads, orbax leaves them running, and says so in hundreds of lines.
    """
    handlers: dict[signal.Signals, Any] = {}
    waiting: list[int] = []

    def wait(number: int, _: FrameType | None) -> None:
        waiting.append(number)
        for each in handlers:
            signal.signal(each, signal.SIG_DFL)

    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGINT, signal.SIGTERM):
            # What the system handles on its own needs no help of ours.
            if callable(signal.getsignal(each)):
                handlers[each] = signal.signal(each, wait)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in waiting:
            signal.raise_signal(number)


def saved_steps(directory: pathlib.Path) -> list[int]:
    """Steps of the checkpoints in a directory, ascending; orbax renames one when it is whole."""
    with files.translated("read", directory):
        names = os.listdir(directory) if directory.exists() else []
    return sorted(int(name) for name in names if name.isdecimal())


def load(
    directory: pathlib.Path, run: str, step: int, items: Mapping[str, Any]
) -> dict[str, Any]:
    """Loads some or all items of a checkpoint.

    Args:
        directory: of the run's checkpoints.
        run: as it was saved with.
        step: one of `saved_steps`.
        items: by name, the tree of `jax.ShapeDtypeStruct`, with shardings, to be loaded.

    Raises:
        CheckpointError: it is of another run, of other shapes, or damaged.
    """
    where = directory.absolute() / str(step)
    sharding = jax.tree.leaves(items)[0].sharding
    digest = _run_digest(run)
    digest_struct = jax.ShapeDtypeStruct(digest.shape, digest.dtype, sharding=sharding)
    # One by one: of items loaded together, one that fails leaves the others unawaited.
    loaded = {
        name: _load_item(where, name, tree)
        for name, tree in {_RUN: digest_struct, **items}.items()
    }
    if not np.array_equal(loaded.pop(_RUN), digest):
        raise errors.CheckpointError(
            f"{where}: a checkpoint of another run, wanted one of the run it lies in"
        )
    return loaded


def _load_item(where: pathlib.Path, name: str, tree: Any) -> Any:
    wanted = {"values": tree, "checksums": jax.tree.map(_checksum_struct, tree)}
    with _reading(where):
        item = ocp.load_checkpointables(where, {name: wanted})[name]
    saved = jax.tree.leaves(item["checksums"])
    found = jax.tree.leaves_with_path(checksums(item["values"]))
    for (path, mine), stored in zip(found, saved, strict=True):
        if np.asarray(mine) != np.asarray(stored):
            raise errors.CheckpointError(
                f"{where}: damaged: checksum mismatch in {name}{jax.tree_util.keystr(path)}"
            )
    return item["values"]


@contextlib.contextmanager
def _reading(where: pathlib.Path) -> Iterator[None]:
    """Translates what orbax raises, and keeps what it leaves behind off standard error.

    It reads all arrays at once and stops at the first that fails. The other reads, abandoned, complain
    when they end or are collected, which buries our one line. One that ends much later still does.
    """
    hook, logger = sys.unraisablehook, logging.getLogger("asyncio")
    level = logger.level
    sys.unraisablehook = lambda _: None
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _undisturbed():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited")
            try:
                yield
            # Of any type: orbax passes on what its parts raise.
            except Exception as error:  # noqa: BLE001
                message = f"damaged, or of another architecture: {_reason(error)}"
                _forget(error)
                raise errors.CheckpointError(f"{where}: {message}") from None
    finally:
        sys.unraisablehook = hook
        logger.setLevel(level)


def _forget(error: BaseException | None) -> None:
    """Frees what the frames of an error and of those behind it hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()


def _checksum_struct(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), jnp.uint32, sharding=leaf.sharding)


def _run_digest(run: str) -> jax.Array:
    """uint32[8]."""
    return jnp.asarray(np.frombuffer(hashlib.sha256(run.encode()).digest(), np.uint32))


@jax.jit
def checksums(tree: Any) -> Any:
    """uint32[] of each array of 32-bit elements; differs whenever a single element does.

    Element i counts 2 i + 1 times, and odd factors lose nothing modulo 2**32. A sum of integers is
    the same on any number of devices.
    """

    def checksum(leaf: jax.Array) -> jax.Array:
        bits = jax.lax.bitcast_convert_type(leaf.reshape(-1), jnp.uint32)
        factors = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1
        return jnp.sum(bits * factors, dtype=jnp.uint32)

    return jax.tree.map(checksum, tree)


def _reason(error: BaseException) -> str:
    """The first line of the error that all others were raised from: orbax wraps what it meets."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

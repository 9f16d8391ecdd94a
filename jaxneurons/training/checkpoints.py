"""Checkpoints of a training run, by step, through orbax: written in the background, whole or absent.

In: the state of a run, as trees of arrays by name. Out: `DIRECTORY/<step>/<name>/`. orbax reads an
array with a flipped bit as if nothing had happened, so the digest of each array is kept among the
checkpoint's metadata and compared when it is loaded.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, Self

import jax
import numpy as np

from jaxneurons import errors
from jaxneurons.disk import arrays, files


def _orbax() -> Any:
    """Its v1 interface, imported on demand: a study of a model that was not trained here does without it."""
    from orbax.checkpoint.experimental import v1

    return v1


class Writer:
    """Saves the checkpoints of one run; leaving its block waits for the last of them.

    Args:
        directory: where checkpoints go. It is created, and what an interrupted save left is removed.
        run: digest of what the run was begun with.
        keep: steps whose checkpoints stay forever; of the others, the last two do.
    """

    def __init__(self, directory: pathlib.Path, run: str, keep: Sequence[int] = ()):
        ocp = _orbax()
        policies = ocp.training.preservation_policies
        self._directory = directory.absolute()
        self._run = run
        # Ctrl-C reaches the main thread alone: inside orbax it would leave a save under way.
        self._thread = futures.ThreadPoolExecutor(1)
        with _translated(self._directory):
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
        with _translated(self._directory), self._thread:
            self._thread.submit(self._checkpointer.close).result()

    def save(self, step: int, items: Mapping[str, Any]) -> None:
        """Begins to save trees of arrays by name; they may be donated as soon as this returns.

        Raises:
            InputOutputError: this save or the one before failed.
        """
        with _translated(self._directory):
            self._thread.submit(
                self._checkpointer.save_checkpointables_async,
                step,
                dict(items),
                force=True,
                custom_metadata={"run": self._run, "digests": _digests(items)},
            ).result()


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
        directory: where the run's checkpoints are.
        run: the digest that it was saved with.
        step: one of `saved_steps`.
        items: by name, a tree of `jax.ShapeDtypeStruct` with shardings.

    Raises:
        CheckpointError: it is damaged, or of another run.
    """
    path, ocp = directory.absolute() / str(step), _orbax()
    try:
        metadata = ocp.checkpointables_metadata(path).custom_metadata or {}
        # One by one: of items loaded together, one that fails leaves the others unawaited.
        loaded = {
            name: ocp.load_checkpointables(path, {name: tree})[name]
            for name, tree in items.items()
        }
    except (OSError, MemoryError):
        # The machine's, not the checkpoint's.
        raise
    except Exception as error:  # Of any type: orbax passes on what its parts raise.
        raise errors.CheckpointError(
            f"{path} is damaged: {_reason(error)}. Remove it to continue from the one before."
        ) from error
    if metadata.get("run", run) != run:
        raise errors.CheckpointError(f"{path} is a checkpoint of another run.")
    expected = metadata.get("digests", {})
    for name, digest in _digests(loaded).items():
        if expected.get(name) != digest:
            raise errors.CheckpointError(
                f"{path} is damaged: checksum mismatch in {name}. Remove it to continue "
                "from the one before."
            )
    return loaded


def _digests(items: Mapping[str, Any]) -> dict[str, str]:
    """The digest of every array, by its place in the items."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): arrays.digest(
            np.asarray(leaf)
        )
        for path, leaf in jax.tree.leaves_with_path(dict(items))
    }


@contextlib.contextmanager
def _translated(directory: pathlib.Path) -> Iterator[None]:
    """Turns what orbax raises when it cannot write into an InputOutputError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise errors.InputOutputError(
            f"cannot write {directory}: {_reason(error)} "
            f"({files.free_bytes(directory)} bytes free)"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of the error that all others were raised from: orbax wraps what it meets."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

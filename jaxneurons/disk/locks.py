"""Directories that one process at a time is in, which others refuse or wait for.

The lock is the system's own on the open directory: it goes when its process ends, however it ends.
"""

import contextlib
import fcntl
import logging
import os
import pathlib
from collections.abc import Iterator

from jaxneurons import errors

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(
    path: pathlib.Path, refusal: str | None = None, make: bool = False
) -> Iterator[None]:
    """Keeps other processes out of a directory while the block runs.

    Args:
        path: of the directory.
        refusal: what is wrong if another process is in it, as suits a user's output; None waits for
            that process, as suits a cache.
        make: makes the directory for the block, and removes it afterwards unless it is renamed or
            not empty. What a killed process left is taken over.

    Raises:
        OutputExistsError: with `refusal`, if another process is in the directory.
        OSError: the system refuses.
    """
    lock = _enter(path, refusal, make)
    try:
        yield
    finally:
        if make and _stands_at(path, lock):
            with contextlib.suppress(OSError):
                path.rmdir()
        os.close(lock)


def _enter(path: pathlib.Path, refusal: str | None, make: bool) -> int:
    """Opens and locks the directory; the lock goes when this is closed."""
    while True:
        if make:
            with contextlib.suppress(FileExistsError):
                path.mkdir()
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if make else 0)
            lock = os.open(path, flags)
        except FileNotFoundError:
            if not make:
                raise
            continue
        try:
            _take(lock, path, refusal)
            # The process before may have renamed or removed it since it was opened.
            if not make or _stands_at(path, lock):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _take(lock: int, path: pathlib.Path, refusal: str | None) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if refusal is not None:
            raise errors.OutputExistsError(
                f"{refusal}. Wait until it has ended, or choose another path."
            ) from None
        _logger.info("%s: waiting for another process", path)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _stands_at(path: pathlib.Path, lock: int) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.lstat(path))
    except FileNotFoundError:
        return False

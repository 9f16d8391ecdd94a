"""A path in, a turn out: processes that make the same thing wait for each other."""

import contextlib
import fcntl
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file, empty, that one process at a time has open; the others wait for their turn.

    The file is removed when the block ends, unless it was renamed there. What a killed process
    leaves is not locked, and the next one takes it over.

    Raises:
        OSError: the system refuses to make the file or to lock it.
    """
    while True:
        with open(path, "ab") as file:
            _wait_for_lock(path, file)
            # The process before may have renamed or removed it between our open and our lock.
            if _stands_at(path, file):
                try:
                    file.truncate(0)
                    yield file
                finally:
                    if _stands_at(path, file):
                        path.unlink()
                return


def _wait_for_lock(path: pathlib.Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _logger.info("%s: waiting for another process", path)
        fcntl.flock(file, fcntl.LOCK_EX)


def _stands_at(path: pathlib.Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False

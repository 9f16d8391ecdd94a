"""Files that are whole or absent: everything this project puts on a disk goes through here.

A file is written under a temporary name, synced and renamed. A directory is built as a locked
sibling `.NAME.partial` and renamed when whole; what a killed process left is recognised by its
free lock and replaced.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator

from jaxneurons import errors


@contextlib.contextmanager
def translated(action: str, path: os.PathLike | str) -> Iterator[None]:
    """Turns an OSError of the block into an InputOutputError that names action and path."""
    try:
        yield
    except OSError as error:
        raise io_error(action, path, error) from error


def io_error(
    action: str, path: os.PathLike | str, error: OSError
) -> errors.InputOutputError:
    """The error to raise for an OSError; for a full disk it says what is free."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += f" ({free_bytes(path)} bytes free)"
    return errors.InputOutputError(f"cannot {action} {path}: {reason}")


def free_bytes(path: os.PathLike | str) -> int:
    """Bytes free on the disk of the nearest existing folder above path."""
    for parent in (
        pathlib.Path(path).absolute(),
        *pathlib.Path(path).absolute().parents,
    ):
        if parent.exists():
            return shutil.disk_usage(parent).free
    raise errors.InputOutputError(f"no folder above {path} exists")


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Puts data at path so that a reader, or a power cut, sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    with translated("write", path):
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)


def sync_directory(path: pathlib.Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: pathlib.Path) -> None:
    """Makes every file and name below path durable."""
    for folder, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())
        sync_directory(pathlib.Path(folder))


def refuse_existing(path: pathlib.Path, what: str) -> None:
    """Raises OutputExistsError unless path is free or an empty directory."""
    with translated("look at", path):
        empty = path.is_dir() and not any(path.iterdir())
        if os.path.lexists(path) and not empty:
            raise errors.OutputExistsError(
                f"{path} exists: {what} is never overwritten; give another path"
            )


@contextlib.contextmanager
def partial_directory(path: pathlib.Path, what: str) -> Iterator[pathlib.Path]:
    """A directory to fill, which becomes `path` when the block ends well and goes when it does not.

    Raises:
        OutputExistsError: path is taken, or another process is filling it.
        InputOutputError: the operating system refuses.
    """
    path = path.absolute()
    refuse_existing(path, what)
    partial = path.with_name(f".{path.name}.partial")
    with translated("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _claim(partial, path)
    try:
        yield partial
        with translated("write", path):
            sync_tree(partial)
        _publish(partial, path, what)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _claim(partial: pathlib.Path, path: pathlib.Path) -> int:
    """Makes `partial` anew and locks it; the lock goes when its process does, however it ends."""
    while True:
        partial.mkdir(exist_ok=True)
        lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise errors.OutputExistsError(
                f"another process is writing {path}; wait for it or give another path"
            ) from None
        if _is_same_directory(lock, partial):
            break
        # Its former owner renamed or removed it between our open and our lock.
        os.close(lock)
    for entry in partial.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return lock


def _is_same_directory(descriptor: int, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _publish(partial: pathlib.Path, path: pathlib.Path, what: str) -> None:
    refuse_existing(path, what)
    with translated("write", path):
        os.rename(partial, path)
        sync_directory(path.parent)

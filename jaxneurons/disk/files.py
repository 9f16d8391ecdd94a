"""Files that are whole or absent: everything this project puts on a disk goes through here.

A file is written under a temporary name, synced and renamed. A directory is built as a locked
sibling with the suffix `PARTIAL` and renamed when whole; what a killed process left is recognised
by its name and its free lock, and replaced. What is in an object store, `places` reads and writes.
"""

import contextlib
import errno
import hashlib
import io
import os
import pathlib
import shutil
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from jaxneurons import errors
from jaxneurons.disk import locks, places
from jaxneurons.disk.places import Folder, Place

# A name that nobody else gives: what is found under it is ours to remove.
PARTIAL = places.MARKER


@contextlib.contextmanager
def translated(
    action: str, path: os.PathLike | str | Place, needed: int | None = None
) -> Iterator[None]:
    """Turns an OSError of the block into the InputOutputError that `io_error` gives."""
    try:
        yield
    except OSError as error:
        raise io_error(action, path, error, needed) from error


def io_error(
    action: str,
    path: os.PathLike | str | Place,
    error: OSError,
    needed: int | None = None,
) -> errors.InputOutputError:
    """The error to raise for an OSError.

    Args:
        action: what was tried, such as "write".
        path: what on.
        error: what came of it; for a full disk the message says what is free.
        needed: bytes that were to be written, where that is known.
    """
    reason = error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full and not isinstance(path, Place):
        need = "" if needed is None else f"{needed} bytes needed, "
        reason += f" ({need}{free_bytes(path)} free)"
    return errors.InputOutputError(f"cannot {action} {path}: {reason}")


def read_file(path: os.PathLike | str | Place) -> bytes:
    """The content of a regular file; raises OSError for anything else under that name.

    A pipe would wait for somebody to write, and a device might never end.
    """
    if isinstance(path, Place):
        return path.read()
    with open(path, "rb", opener=_open_regular) as file:
        return file.read()


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def reading(path: Folder) -> BinaryIO:
    """A file to read, held in memory where it is in an object store; raises OSError."""
    return io.BytesIO(path.read()) if isinstance(path, Place) else open(path, "rb")


def digest(path: Folder) -> str:
    """SHA-256 of a file's content, as hex; raises OSError."""
    with reading(path) as file:
        return hashlib.file_digest(cast(io.BytesIO, file), "sha256").hexdigest()


def require_digest(
    path: Folder,
    expected: str | None,
    damaged: type[errors.BadDataError],
    remedy: str,
) -> None:
    """Raises the error, with its remedy, unless there is a file with that `digest`."""
    try:
        found = digest(path)
    except FileNotFoundError as error:
        raise damaged(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise io_error("read", path, error) from error
    if found != expected:
        raise damaged(f"{path} is damaged: not the file written; {remedy}")


def free_bytes(path: os.PathLike | str) -> int:
    """Bytes free on the disk of the nearest existing folder above path."""
    parent = pathlib.Path(path).absolute()
    while not parent.exists():
        parent = parent.parent
    return shutil.disk_usage(parent).free


def is_plain_name(name: Any) -> bool:
    """Whether a name that was read from a file can only mean a file in the folder at hand."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and name not in ("", ".", "..")
        and not set(name) & set("/\\")
        and len(name.encode()) <= 255
    )


def write_atomically(path: Folder, data: bytes) -> None:
    """Puts data at path so that a reader, or a power cut, sees the old file or the new one.

    One process at a time: callers own the folder.
    """
    if isinstance(path, Place):
        path.write(data)
        return
    with replacing(path, needed=len(data)) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: pathlib.Path, needed: int | None = None) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends well and goes when it does not.

    Args:
        path: of the file.
        needed: bytes that will be written, where that is known, for the message about a full disk.
    """
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with translated("write", path, needed), open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


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


def is_free(path: Folder) -> bool:
    """Whether nothing stands at a path, or where a link there leads to, or an empty directory."""
    if isinstance(path, Place):
        return path.is_free()
    real = pathlib.Path(os.path.realpath(path))
    with translated("look at", path):
        empty = real.is_dir() and not any(real.iterdir())
        return empty or not os.path.lexists(real)


def refuse_existing(path: Folder, what: str) -> None:
    """Raises OutputExistsError unless path is free or an empty directory."""
    if not is_free(path):
        raise taken(path, what)


def prepare(path: pathlib.Path, what: str) -> None:
    """Makes the folder of a file that is written after long work; raises OutputExistsError where something stands."""
    refuse_existing(path, what)
    with translated("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def locked_directory(path: Folder, doing: str) -> Iterator[None]:
    """Keeps other processes out of a directory while the block runs; object stores have no locks.

    Raises:
        OutputExistsError: another process is `doing` something there, such as "training there".
        InputOutputError: the operating system refuses.
    """
    if isinstance(path, Place):
        yield
        return
    with contextlib.ExitStack() as stack:
        with translated("lock", path):
            refusal = f"{path}: another process is {doing}"
            stack.enter_context(locks.locked(path, refusal))
        yield


@contextlib.contextmanager
def partial_directory(
    path: pathlib.Path, what: str, replaces: bool = False
) -> Iterator[pathlib.Path]:
    """A directory to fill, which becomes `path` when the block ends well and goes when it does not.

    Args:
        path: free or an empty directory; a symbolic link means what it points to.
        what: what it will be, for messages: "a store".
        replaces: whether a directory at `path` goes when the new one is whole.

    Raises:
        OutputExistsError: path is taken, or another process is filling it.
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(os.path.realpath(path))
    if not replaces:
        refuse_existing(path, what)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with contextlib.ExitStack() as stack:
        with translated("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            refusal = f"another process is writing {path}, in {partial}"
            stack.enter_context(locks.locked(partial, refusal, make=True))
            _empty(partial)
        try:
            yield partial
            with translated("write", path):
                sync_tree(partial)
                if replaces:
                    former = path.with_name(f".{path.name}.former{PARTIAL}")
                    shutil.rmtree(former, ignore_errors=True)
                    os.rename(path, former)
                _publish(partial, path, what)
                if replaces:
                    shutil.rmtree(former, ignore_errors=True)
                sync_directory(path.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _empty(folder: pathlib.Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _publish(partial: pathlib.Path, path: pathlib.Path, what: str) -> None:
    """Renames; where something other than an empty directory stands there by now, the system refuses."""
    try:
        os.rename(partial, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise taken(path, what) from error
        raise


def taken(path: Folder, what: str) -> errors.OutputExistsError:
    """The error for a path that something stands at."""
    return errors.OutputExistsError(
        f"{path} exists: {what} is never overwritten. Choose another path."
    )

"""Files that are whole or absent: everything this project puts on a disk goes through here.

A file is written under a temporary name, synced and renamed. A directory is built as a locked
sibling with the suffix `PARTIAL` and renamed when whole; what a killed process left is recognised
by its name and its free lock, and replaced.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
import shutil
import stat
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from jaxneurons import errors

# What Python's reader of zip files raises for damage: a directory with names in no encoding, versions yet to
# come, records said to be encrypted.
ZIP_DAMAGE = (
    zipfile.BadZipFile,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
# A name that nobody else gives: what is found under it is ours to remove.
PARTIAL = ".jaxneurons-partial"


@contextlib.contextmanager
def translated(action: str, path: os.PathLike | str) -> Iterator[None]:
    """Turns an OSError of the block into an InputOutputError that names action and path."""
    try:
        yield
    except OSError as error:
        raise io_error(action, path, error) from error


def io_error(
    action: str, path: os.PathLike | str, error: OSError, needed: int | None = None
) -> errors.InputOutputError:
    """The error to raise for an OSError.

    Args:
        action: what was tried, such as "write".
        path: what on.
        error: what came of it; for a full disk the message says what is free.
        needed: bytes that were to be written, where that is known.
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        wanted = "" if needed is None else f"{needed} bytes needed, "
        reason += f" ({wanted}{free_bytes(path)} free)"
    return errors.InputOutputError(f"cannot {action} {path}: {reason}")


def read_file(path: os.PathLike | str) -> bytes:
    """The content of a regular file; raises OSError for anything else under that name.

    A pipe would wait for somebody to write, and a device might never end.
    """
    with open(path, "rb", opener=_open_regular) as file:
        return file.read()


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def digest(path: os.PathLike | str) -> str:
    """SHA-256 of a file's content, as hex; raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(
    path: pathlib.Path,
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


def is_damaged_zip(error: OSError) -> bool:
    """Whether the system refused a place in a zip file that only a damaged directory can name."""
    return error.errno == errno.EINVAL


def is_plain_name(name: Any) -> bool:
    """Whether a name that was read from a file can only mean a file in the folder at hand."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and name not in ("", ".", "..")
        and not set(name) & set("/\\")
        and len(name.encode()) <= 255
    )


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Puts data at path so that a reader, or a power cut, sees the old file or the new one.

    One process at a time: callers own the folder.
    """
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
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        problem = io_error("write", path, error, needed)
        _remove(temporary)
        raise problem from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


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


def is_free(path: pathlib.Path) -> bool:
    """Whether nothing stands at a path, or where a link there leads to, or an empty directory."""
    real = pathlib.Path(os.path.realpath(path))
    with translated("look at", path):
        empty = real.is_dir() and not any(real.iterdir())
        return empty or not os.path.lexists(real)


def refuse_existing(path: pathlib.Path, what: str) -> None:
    """Raises OutputExistsError unless path is free or an empty directory."""
    if not is_free(path):
        raise _taken(path, what)


@contextlib.contextmanager
def partial_directory(path: pathlib.Path, what: str) -> Iterator[pathlib.Path]:
    """A directory to fill, which becomes `path` when the block ends well and goes when it does not.

    Args:
        path: free or an empty directory; a symbolic link means what it points to.
        what: it is to be, for messages, such as "a store".

    Raises:
        OutputExistsError: path is taken, or another process is filling it.
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(os.path.realpath(path))
    refuse_existing(path, what)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with translated("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _claim(partial, path)
    try:
        with _removed_on_error(partial):
            yield partial
            with translated("write", path):
                sync_tree(partial)
            _publish(partial, path, what)
        with translated("write", path):
            sync_directory(path.parent)
    finally:
        os.close(lock)


@contextlib.contextmanager
def locked_directory(path: pathlib.Path, doing: str) -> Iterator[None]:
    """Keeps a second process out of a directory while the block runs.

    Raises:
        OutputExistsError: another process is at it; says that it is `doing`.
        InputOutputError: the operating system refuses.
    """
    with translated("lock", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.OutputExistsError(
                f"{path}: another process is {doing}"
            ) from None
        except OSError as error:
            raise io_error("lock", path, error) from error
        yield
    finally:
        os.close(descriptor)


def _claim(partial: pathlib.Path, path: pathlib.Path) -> int:
    """Makes `partial` anew and locks it; the lock goes when its process does, however it ends."""
    while True:
        with contextlib.suppress(FileExistsError):
            partial.mkdir()
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        if _is_locked_for_us(lock, partial, path):
            break
        # Its former owner renamed or removed it between our open and our lock.
        os.close(lock)
    try:
        _empty(partial)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _is_locked_for_us(lock: int, partial: pathlib.Path, path: pathlib.Path) -> bool:
    """Takes the lock; whether what it locks is still what stands under the name."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock), os.lstat(partial))
    except FileNotFoundError:
        return False
    except BlockingIOError:
        os.close(lock)
        raise errors.OutputExistsError(
            f"another process is writing {path}, in {partial}; wait for it or give "
            "another path"
        ) from None


def _empty(folder: pathlib.Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextlib.contextmanager
def _removed_on_error(partial: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _publish(partial: pathlib.Path, path: pathlib.Path, what: str) -> None:
    """Renames; where something other than an empty directory stands there by now, the system refuses."""
    try:
        os.rename(partial, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _taken(path, what) from error
        raise io_error("write", path, error) from error


def _taken(path: pathlib.Path, what: str) -> errors.OutputExistsError:
    return errors.OutputExistsError(
        f"{path} exists: {what} is never overwritten; give another path"
    )

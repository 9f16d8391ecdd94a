"""What a store is made from in, the store out: made once, kept in a cache, and found again.

A store is found by what it was made from: the version of the format, facts that the caller names,
and each file that was read. Of a file these are its real path, its size, when its bytes and its
inode last changed, and a digest of all of it, or of samples where it is large. To read weights as a
whole would take minutes each time, and the time of change alone says little: cp -p, tar, rsync and
git restore it. Nobody can set the time of an inode's change, but not every file system has one;
there the samples see what training, casting or merging changed.
"""

import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence

from jaxneurons import errors
from jaxneurons.disk import files, locks
from jaxneurons.store import format, reading

_SAMPLES = 16
_SAMPLE_BYTES = 2**16
_TITLE_BYTES = 100


def open_or_make(
    cache_directory: pathlib.Path,
    title: str,
    facts: Sequence[object],
    sources: Iterable[pathlib.Path],
    write: Callable[[pathlib.Path], None],
) -> reading.Store:
    """Opens a store of the cache, which is made first unless it is there.

    While another process makes the same store, this one waits for it.

    Args:
        cache_directory: stores are kept in its folder `stores`.
        title: how its folder's name begins; what is long is cut.
        facts: what decides the store beside the sources; their `repr` is taken.
        sources: all files that `write` reads.
        write: makes the store at a path.

    Raises:
        InputOutputError: the operating system refuses.
        JaxneuronsError: as `write` and `reading.open_store` do.
    """
    identity = [format.FORMAT.version, *facts, *map(file_identity, sources)]
    key = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
    # A file's name has at most 255 bytes, and locks and stores that are being written have longer names.
    short = os.fsencode(title)[:_TITLE_BYTES].decode(
        sys.getfilesystemencoding(), "ignore"
    )
    path = cache_directory / "stores" / f"{short}-{key}"
    if not reading.is_store(path):
        with files.translated("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locks.locked(path.with_name(f".{path.name}.lock"), make=True):
                # Another process may have made it since.
                if not reading.is_store(path):
                    # What others left of one, such as a cleaner of old files.
                    shutil.rmtree(path, ignore_errors=True)
                    write(path)
    try:
        return reading.open_store(path)
    except errors.StoreError as error:
        raise errors.StoreError(
            f"{error}. Remove {path}, and it is made again."
        ) from error


def file_identity(path: pathlib.Path) -> tuple[object, ...]:
    """What tells a file from any other that stands at its path at another time.

    Raises:
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path), open(path, "rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256()
        for place in _sampled_places(status.st_size):
            file.seek(place)
            digest.update(file.read(_SAMPLE_BYTES))
    return (
        str(path.resolve()),
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        digest.hexdigest(),
    )


def _sampled_places(size: int) -> Iterable[int]:
    """Where samples begin: evenly spaced from the first byte to the last, or next to each other."""
    if size <= _SAMPLES * _SAMPLE_BYTES:
        return range(0, size, _SAMPLE_BYTES)
    return [(size - _SAMPLE_BYTES) * i // (_SAMPLES - 1) for i in range(_SAMPLES)]

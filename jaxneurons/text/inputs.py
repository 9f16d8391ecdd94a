"""A path in, its text files and their bytes out: which files a corpus has, in which order.

A corpus is a file or a directory searched to the bottom. Files end in `.txt` or `.jsonl`,
or in either and `.gz`. No file is ever held in memory as a whole, and a small gzip file
that decompresses to a huge one costs no more memory than any other.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import stat
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jaxneurons import errors

SUFFIXES = (".txt", ".jsonl", ".txt.gz", ".jsonl.gz")
_STORED_BYTES = 2**16
_DECOMPRESSED_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_LEFT_OUT_SHOWN = 10
_logger = logging.getLogger(__name__)


class TextFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        name: relative to the corpus, its parts joined with "/".
        path: where it is.
        size: bytes as stored, when it was listed.
        modified: time of its last change in nanoseconds, when it was listed.
    """

    name: str
    path: pathlib.Path
    size: int
    modified: int


def list_files(path: pathlib.Path) -> tuple[TextFile, ...]:
    """Lists the text files at `path`, ordered by name.

    In a directory, hidden files and files of other suffixes are left out and named in one
    log line.

    Raises:
        CorpusError: there is no text file, or a file or directory is met twice, as links
            that form a loop make it.
    """
    with _reading(path):
        if not path.is_dir():
            _check_suffix(path)
            return (_text_file(path, path.parent),)
    left_out: list[str] = []
    files = sorted(_walk(path, left_out))
    _log_left_out(path, sorted(left_out))
    if not files:
        raise errors.CorpusError(
            f"{path}: no text here, wanted files that end in {', '.join(SUFFIXES)}"
        )
    return tuple(files)


def _check_suffix(path: pathlib.Path) -> None:
    if path.exists() and not path.name.endswith(SUFFIXES):
        raise errors.CorpusError(
            f"{path}: not a text file by its name,"
            f" wanted a directory or a file that ends in {', '.join(SUFFIXES)}"
        )


def _walk(root: pathlib.Path, left_out: list[str]) -> Iterator[TextFile]:
    """Yields the text files below `root`; names of other files go to `left_out`."""
    seen: dict[tuple[int, int], pathlib.Path] = {}
    folders = [root]
    while folders:
        folder = folders.pop()
        with _reading(folder):
            _meet_once(folder, seen)
            entries = list(folder.iterdir())
        for entry in entries:
            with _reading(entry):
                is_hidden = entry.name.startswith(".")
                if entry.is_dir() and not is_hidden:
                    folders.append(entry)
                elif entry.name.endswith(SUFFIXES) and not is_hidden:
                    _meet_once(entry, seen)
                    yield _text_file(entry, root)
                else:
                    left_out.append(entry.relative_to(root).as_posix())


def _meet_once(path: pathlib.Path, seen: dict[tuple[int, int], pathlib.Path]) -> None:
    status = path.stat()
    identity = status.st_dev, status.st_ino
    if identity in seen:
        raise errors.CorpusError(
            f"{path} and {seen[identity]} are the same, wanted every text once"
        )
    seen[identity] = path


def refuse_repeated(domains: Iterable[Iterable[TextFile]]) -> None:
    """Raises CorpusError if a file stands in two domains, under one name or two: it would be read twice."""
    seen: dict[tuple[int, int], pathlib.Path] = {}
    for files in domains:
        for file in files:
            with _reading(file.path):
                _meet_once(file.path, seen)


def _text_file(path: pathlib.Path, root: pathlib.Path) -> TextFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise errors.CorpusError(f"{path}: not a regular file, wanted text")
    name = path.relative_to(root).as_posix()
    return TextFile(name, path, status.st_size, status.st_mtime_ns)


def _log_left_out(path: pathlib.Path, names: list[str]) -> None:
    if names:
        more = len(names) - _LEFT_OUT_SHOWN
        ending = f" and {more} more" if more > 0 else ""
        shown = ", ".join(names[:_LEFT_OUT_SHOWN])
        _logger.info("%s: left out %s%s", path, shown, ending)


def digest_of(file: TextFile) -> str:
    """Returns the SHA-256 of the file's bytes as stored, compressed or not."""
    with _reading(file.path), file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def refuse_changed(files: Iterable[TextFile]) -> None:
    """Raises CorpusError if a file has another size or time than when it was listed."""
    for file in files:
        with _reading(file.path):
            status = os.stat(file.path)
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified):
            raise errors.CorpusError(
                f"{file.path}: changed while it was read, wanted text that stays"
            )


def read_chunks(path: pathlib.Path) -> Iterator[bytes]:
    """Yields the file's bytes, decompressed if it ends in `.gz`, in bounded pieces.

    Raises:
        CorpusError: gzip data is truncated, damaged or followed by something else, or
            stands in a file whose name does not end in `.gz`.
    """
    with _reading(path), path.open("rb") as source:
        stored = iter(lambda: source.read(_STORED_BYTES), b"")
        if path.name.endswith(".gz"):
            yield from _decompress(stored, path)
        else:
            yield from _refuse_gzip(stored, path)


def _refuse_gzip(chunks: Iterator[bytes], path: pathlib.Path) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first.startswith(_GZIP_MAGIC):
        raise errors.CorpusError(f"{path}: gzip data, wanted text (or the suffix .gz)")
    yield first
    yield from chunks


def _decompress(chunks: Iterable[bytes], path: pathlib.Path) -> Iterator[bytes]:
    """Decompresses member after member; zero bytes behind one are padding, as for gzip(1).

    A member ends with its checksum and length, which zlib compares.
    """
    member = 0
    decompressor = None
    for chunk in chunks:
        while chunk:
            if decompressor is None:
                chunk = chunk.lstrip(b"\0") if member else chunk
                if not chunk:
                    break
                _check_member_start(chunk, member, path)
                member += 1
                decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                data = decompressor.decompress(chunk, _DECOMPRESSED_BYTES)
            except zlib.error as error:
                raise errors.CorpusError(
                    f"{path}: gzip member {member} is damaged: {error}"
                ) from error
            chunk = decompressor.unconsumed_tail or decompressor.unused_data
            if decompressor.eof:
                decompressor = None
            yield data
    if decompressor is not None:
        raise errors.CorpusError(f"{path}: gzip member {member} is truncated")


def _check_member_start(chunk: bytes, member: int, path: pathlib.Path) -> None:
    """Refuses what cannot be the next member, of which `chunk` may hold a byte only."""
    if not chunk.startswith(_GZIP_MAGIC[: len(chunk)]):
        place = f"junk behind gzip member {member}" if member else "not gzip data"
        raise errors.CorpusError(f"{path}: {place}, wanted gzip data to the end")


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Translates what the operating system says about `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.CorpusError(f"{path}: no such file or directory") from error
    except OSError as error:
        raise errors.InputOutputError(
            f"{path}: cannot be read: {error.strerror}"
        ) from error

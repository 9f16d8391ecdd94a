"""A path in, its text files and their bytes out: which files a corpus has, and in which order.

A corpus is a file, or a directory that is searched to the bottom. Files end in `.txt` or `.jsonl`,
or in one of these and `.gz`. No file is ever held in memory as a whole, and a small gzip file that
decompresses to a huge one needs no more memory than any other.
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
# Large enough to be fast, small enough that nobody notices the memory.
PIECE_BYTES = 2**18
_GZIP_MAGIC = b"\x1f\x8b"
_SHOWN_NAMES = 10
_AGAIN = "Copy or download the file again."
_logger = logging.getLogger(__name__)


class TextFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        name: relative to the corpus, its parts joined with "/".
        path: where it is.
        size: bytes as stored, when it was listed.
        times: when its bytes and its inode last changed, in nanoseconds, when it was listed. Tools
            that unpack or copy set the first to what it was; nobody sets the second.
    """

    name: str
    path: pathlib.Path
    size: int
    times: tuple[int, int]


def list_files(path: pathlib.Path) -> tuple[TextFile, ...]:
    """Lists the text files at `path`, ordered by name.

    In a directory, hidden files and files with other suffixes are left out and named in one line
    of the log.

    Raises:
        CorpusError: there is no text file, or a file or directory is met twice, as links that form
            a loop make it.
        InputOutputError: the operating system refuses.
    """
    with _reading(path):
        if not path.is_dir():
            _check_suffix(path)
            return (_text_file(path, path.parent),)
    left_out: list[str] = []
    listed = sorted(_walk(path, left_out))
    _log_left_out(path, sorted(left_out))
    if not listed:
        raise errors.CorpusError(
            f"{path} has no text files. Add files that end in {_alternatives()}."
        )
    return tuple(listed)


def refuse_repeated(domains: Iterable[Iterable[TextFile]]) -> None:
    """Raises CorpusError if two domains share a file, under one name or two."""
    seen: dict[tuple[int, int], pathlib.Path] = {}
    for listed in domains:
        for file in listed:
            with _reading(file.path):
                _meet_once(file.path, seen)


def refuse_changed(listed: Iterable[TextFile]) -> None:
    """Raises CorpusError if a file is no longer what it was when it was listed."""
    for file in listed:
        with _reading(file.path):
            status = os.stat(file.path)
        if (status.st_size, _times(status)) != (file.size, file.times):
            raise errors.CorpusError(
                f"{file.path} changed while it was read. Try again when it is complete."
            )


def digest_of(file: TextFile) -> str:
    """Returns the SHA-256 of the file's bytes as stored, compressed or not."""
    with _reading(file.path), file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def read_pieces(path: pathlib.Path, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yields the file's bytes, decompressed if its name ends in `.gz`.

    Args:
        path: of the file.
        size: the most bytes that are read, or decompressed, at a time.

    Raises:
        CorpusError: gzip data is truncated, damaged or followed by something else, or it is in a
            file whose name does not end in `.gz`.
        InputOutputError: the operating system refuses.
    """
    with _reading(path), path.open("rb") as source:
        stored = iter(lambda: source.read(size), b"")
        if path.name.endswith(".gz"):
            yield from _decompress(stored, path, size)
        else:
            yield from _refuse_gzip(stored, path)


def _alternatives() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def _check_suffix(path: pathlib.Path) -> None:
    if path.exists() and not path.name.endswith(SUFFIXES):
        raise errors.CorpusError(
            f"{path} is not named like a text file. Pass a directory, or a file that ends in"
            f" {_alternatives()}."
        )


def _walk(root: pathlib.Path, left_out: list[str]) -> Iterator[TextFile]:
    """Yields the text files below `root`, and adds the names of other files to `left_out`."""
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
            f"{path} and {seen[identity]} are the same. Every text may be given once."
        )
    seen[identity] = path


def _text_file(path: pathlib.Path, root: pathlib.Path) -> TextFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise errors.CorpusError(
            f"{path} is not a regular file. Save the text to a file first."
        )
    name = path.relative_to(root).as_posix()
    return TextFile(name, path, status.st_size, _times(status))


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


def _log_left_out(path: pathlib.Path, names: list[str]) -> None:
    if names:
        more = len(names) - _SHOWN_NAMES
        ending = f" and {more} more" if more > 0 else ""
        shown = ", ".join(names[:_SHOWN_NAMES])
        _logger.info("%s: left out %s%s", path, shown, ending)


def _refuse_gzip(pieces: Iterator[bytes], path: pathlib.Path) -> Iterator[bytes]:
    start = b""
    # One byte may be all that a piece has, and the magic number has two.
    while len(start) < len(_GZIP_MAGIC) and (piece := next(pieces, b"")):
        start += piece
    if start.startswith(_GZIP_MAGIC):
        raise errors.CorpusError(
            f"{path} is compressed with gzip. Rename it so that it ends in .gz."
        )
    yield start
    yield from pieces


def _decompress(
    pieces: Iterable[bytes], path: pathlib.Path, size: int
) -> Iterator[bytes]:
    """Decompresses member after member; zero bytes after one are padding, as for gzip(1).

    A member ends with its checksum and its length, which zlib compares.
    """
    member = 0
    decompressor = None
    for piece in pieces:
        while piece:
            if decompressor is None:
                piece = piece.lstrip(b"\0") if member else piece
                if not piece:
                    break
                _check_member_start(piece, member, path)
                member += 1
                decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                data = decompressor.decompress(piece, size)
            except zlib.error as error:
                raise errors.CorpusError(
                    f"{path}: gzip member {member} is damaged ({error}). {_AGAIN}"
                ) from error
            piece = decompressor.unconsumed_tail or decompressor.unused_data
            if decompressor.eof:
                decompressor = None
            yield data
    if decompressor is not None:
        raise errors.CorpusError(f"{path}: gzip member {member} is truncated. {_AGAIN}")


def _check_member_start(piece: bytes, member: int, path: pathlib.Path) -> None:
    """Refuses what cannot be the next member, of which `piece` may hold a single byte."""
    if not piece.startswith(_GZIP_MAGIC[: len(piece)]):
        problem = (
            f"there is something else after gzip member {member}. {_AGAIN}"
            if member
            else "this is not gzip data. Rename the file if it is not compressed."
        )
        raise errors.CorpusError(f"{path}: {problem}")


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Translates what the operating system says about `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.CorpusError(f"{path}: no such file or directory") from error
    except OSError as error:
        raise errors.InputOutputError(
            f"cannot read {path}: {error.strerror}"
        ) from error

"""A file in, its bytes out in pieces, decompressed: `.gz` by zlib, `.zst` by zstandard, all others as they are.

No file is ever held in memory as a whole, and a small file that decompresses to a huge one needs no
more memory than any other.
"""

import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from jaxneurons import errors
from jaxneurons.text import extra, files

SUFFIXES = (".gz", ".zst")
# Large enough to be fast, small enough that nobody notices the memory.
PIECE_BYTES = 2**18
# What zstandard is given at once: a kilobyte may become 32 megabytes.
_ZSTD_BYTES = 2**10
# The largest window that the zstd command decompresses without being asked to, in bytes.
_ZSTD_WINDOW = 2**27
# How a compressed file begins, by what it is called.
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_AGAIN = "Copy or download the file again."


def read_pieces(path: pathlib.Path, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yields the file's bytes, some at a time, decompressed if its name ends in `.gz` or `.zst`.

    Args:
        path: of the file.
        size: the most bytes that are read, or decompressed from gzip, at a time.

    Raises:
        CorpusError: compressed data is truncated, damaged or followed by something else, or it is in
            a file whose name does not say so.
        UsageError: it takes a package that is not installed.
        InputOutputError: the operating system refuses.
    """
    with files.reading(path), path.open("rb") as source:
        stored = iter(lambda: source.read(size), b"")
        if path.name.endswith(".gz"):
            yield from filter(None, _decompress_gzip(stored, path, size))
        elif path.name.endswith(".zst"):
            yield from filter(None, _decompress_zstd(stored, path))
        else:
            yield from _refuse_compressed(stored, path)


def _refuse_compressed(pieces: Iterator[bytes], path: pathlib.Path) -> Iterator[bytes]:
    start = b""
    # One byte may be all that a piece has, and a magic number has up to four.
    while len(start) < 4 and (piece := next(pieces, b"")):
        start += piece
    for (name, magic), suffix in zip(_MAGIC.items(), SUFFIXES, strict=True):
        if start.startswith(magic):
            raise errors.CorpusError(
                f"{path} is compressed with {name}. Rename it so that it ends in {suffix}."
            )
    yield start
    yield from pieces


def _decompress_gzip(
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
                _check_start(piece, "gzip", "member", member, path)
                member += 1
                decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                data = decompressor.decompress(piece, size)
            except zlib.error as error:
                raise _damaged("gzip member", member, path, error) from error
            piece = decompressor.unconsumed_tail or decompressor.unused_data
            if decompressor.eof:
                decompressor = None
            yield data
    if decompressor is not None:
        raise errors.CorpusError(f"{path}: gzip member {member} is truncated. {_AGAIN}")


def _decompress_zstd(pieces: Iterable[bytes], path: pathlib.Path) -> Iterator[bytes]:
    """Decompresses frame after frame; one ends with its checksum, if it was written with one."""
    zstandard = extra.load("zstandard", path.name)
    new = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
    frame = 0
    decompressor: Any = None
    for piece in _split(pieces, _ZSTD_BYTES):
        while piece:
            if decompressor is None:
                # Frames that zstd tells to skip begin otherwise; it knows them.
                if not frame:
                    _check_start(piece, "zstd", "frame", frame, path)
                frame += 1
                decompressor = new()
            try:
                data = decompressor.decompress(piece)
            except zstandard.ZstdError as error:
                raise _damaged("zstd frame", frame, path, error) from error
            piece = decompressor.unused_data
            if decompressor.eof:
                decompressor = None
            yield data
    if decompressor is not None:
        raise errors.CorpusError(f"{path}: zstd frame {frame} is truncated. {_AGAIN}")


def _split(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for first in range(0, len(piece), size):
            yield piece[first : first + size]


def _damaged(
    part: str, number: int, path: pathlib.Path, error: Exception
) -> errors.CorpusError:
    return errors.CorpusError(f"{path}: {part} {number} is damaged ({error}). {_AGAIN}")


def _check_start(
    piece: bytes, name: str, part: str, number: int, path: pathlib.Path
) -> None:
    """Refuses what cannot be the next member or frame, of which `piece` may hold a single byte."""
    magic = _MAGIC[name]
    if not piece.startswith(magic[: len(piece)]):
        problem = (
            f"there is something else after {name} {part} {number}. {_AGAIN}"
            if number
            else f"this is not {name} data. Rename the file if it is not compressed."
        )
        raise errors.CorpusError(f"{path}: {problem}")

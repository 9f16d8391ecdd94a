"""A token stream in, a file out, and back: text is tokenized once.

A folder holds what was read of one domain under one fingerprint, as little-endian int32:
`whole-<tokens>-<sha256>` is the domain's stream, `first-<tokens>-<sha256>` the beginning of a
longer one. The name is all that is needed to check a file, so a file is either what was written or
not used. The cache is a convenience: where it cannot be written, text is tokenized again.
"""

import hashlib
import logging
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.disk import files, locks

_NAME = re.compile(r"(whole|first)-([1-9][0-9]*)-([0-9a-f]{64})", re.ASCII)
_DTYPE = np.dtype("<i4")
_logger = logging.getLogger(__name__)


class Stream(NamedTuple):
    """A domain's tokens, int32[tokens], and whether they are all that it has."""

    tokens: np.ndarray
    is_whole: bool


def find(folder: pathlib.Path, limit: int | None) -> Stream | None:
    """Returns the first `limit` tokens of the stream, or None if they are not in `folder`.

    Without a limit, only a whole stream will do. The tokens are mapped from the file.
    """
    for path, count, is_whole in _entries(folder):
        if is_whole or (limit is not None and count >= limit):
            tokens = _open(path, count)
            if tokens is not None:
                is_all = is_whole and (limit is None or count <= limit)
                return Stream(tokens if is_all else tokens[:limit], is_all)
    return None


def save(folder: pathlib.Path, stream: Stream) -> None:
    """Writes `stream` to `folder`, under its final name once it is whole and on disk."""
    tokens = np.ascontiguousarray(stream.tokens, _DTYPE)
    kind = "whole" if stream.is_whole else "first"
    name = f"{kind}-{len(tokens)}-{hashlib.sha256(tokens).hexdigest()}"
    try:
        with files.translated("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locks.locked(folder):
                # What killed processes left: nobody else writes now.
                for path in folder.glob(f".*{files.PARTIAL}"):
                    path.unlink()
                with files.replacing(folder / name, tokens.nbytes) as file:
                    file.write(tokens)
    except errors.InputOutputError as error:
        _logger.warning("tokens are not cached: %s", error)


def _entries(folder: pathlib.Path) -> list[tuple[pathlib.Path, int, bool]]:
    """Lists (file, tokens, whole) of the folder, in an order that only names decide."""
    try:
        names = sorted(os.listdir(folder))
    except (
        OSError
    ):  # Nothing is cached: the folder is not there, or not for us to read.
        return []
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return [(folder / m[0], int(m[2]), m[1] == "whole") for m in matches]


def _open(path: pathlib.Path, count: int) -> np.ndarray | None:
    """Maps a file's tokens; None, and a line in the log, if they are not those written."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if (
            path.name.endswith(digest)
            and path.stat().st_size == count * _DTYPE.itemsize
        ):
            return np.memmap(path, _DTYPE, mode="r")
        problem = "damaged"
    except OSError as error:
        problem = f"unreadable ({error.strerror})"
    _logger.warning("%s is %s, its text is tokenized again", path, problem)
    return None

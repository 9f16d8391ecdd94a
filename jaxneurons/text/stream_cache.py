"""A token stream in, a file out, and back: text is tokenized once.

A folder holds what was read of one domain under one fingerprint, as little-endian numbers, the tokens
and then the table of their documents: `whole-<tokens>-<sha256>` is the domain's stream,
`first-<tokens>-<sha256>` the beginning of a longer one. The name is all that is needed to check a
file, so a file is either what was written or not used. The cache is a convenience: where it cannot be written, text is tokenized again.
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
from jaxneurons.text import selection

_NAME = re.compile(r"(whole|first)-([1-9][0-9]*)-([0-9a-f]{64})", re.ASCII)
_DTYPE = np.dtype("<i4")
_TABLE_DTYPE = np.dtype("<i8")
# Columns of `Stream.table`: where a document begins, its bytes, what was passed over before it.
TABLE_COLUMNS = 2 + len(selection.PASSED)
_logger = logging.getLogger(__name__)


class Stream(NamedTuple):
    """A domain's tokens.

    Attributes:
        tokens: int32[tokens].
        is_whole: whether they are all that it has.
        table: int64[documents, 2 + P], of each document the place in `tokens` where it begins, its bytes,
            and how many records were passed over before it for each of the P reasons; a whole stream
            has one more row, for what was passed over behind the last.
    """

    tokens: np.ndarray
    is_whole: bool
    table: np.ndarray

    def beginning(self, limit: int | None) -> "Stream":
        """The first `limit` tokens, or all there are."""
        if limit is None or len(self.tokens) <= limit:
            return self
        return Stream(self.tokens[:limit], False, self.table[self.table[:, 0] < limit])


def find(folder: pathlib.Path, limit: int | None) -> Stream | None:
    """Returns the first `limit` tokens of the stream, or None if they are not in `folder`.

    Without a limit, only a whole stream will do. The tokens are mapped from the file.
    """
    for path, count, is_whole in _entries(folder):
        if is_whole or (limit is not None and count >= limit):
            stream = _open(path, count, is_whole)
            if stream is not None:
                return stream.beginning(limit)
    return None


def save(folder: pathlib.Path, stream: Stream) -> None:
    """Writes `stream` to `folder`, under its final name once it is whole and on disk."""
    tokens = np.ascontiguousarray(stream.tokens, _DTYPE)
    kind = "whole" if stream.is_whole else "first"
    content = tokens.tobytes() + stream.table.astype(_TABLE_DTYPE).tobytes()
    name = f"{kind}-{len(tokens)}-{hashlib.sha256(content).hexdigest()}"
    try:
        with files.translated("write", folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locks.locked(folder):
                # What killed processes left: nobody else writes now.
                for path in folder.glob(f".*{files.PARTIAL}"):
                    path.unlink()
                with files.replacing(folder / name, len(content)) as file:
                    file.write(content)
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


def _open(path: pathlib.Path, count: int, is_whole: bool) -> Stream | None:
    """Maps a file's tokens; None, and a line in the log, if they are not those written."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        end = count * _DTYPE.itemsize
        row = TABLE_COLUMNS * _TABLE_DTYPE.itemsize
        if path.name.endswith(digest) and (path.stat().st_size - end) % row == 0:
            tokens = np.memmap(path, _DTYPE, mode="r", shape=(count,))
            table = np.fromfile(path, _TABLE_DTYPE, offset=end)
            return Stream(tokens, is_whole, table.reshape(-1, TABLE_COLUMNS))
        problem = "damaged"
    except OSError as error:
        problem = f"unreadable ({error.strerror})"
    _logger.warning("%s is %s, its text is tokenized again", path, problem)
    return None

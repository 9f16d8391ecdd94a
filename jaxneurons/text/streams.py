"""The files of each domain in, one stream of tokens per domain out, read no further than needed.

A stream is the tokens of a domain's documents, file after file, joined by the separator: n
documents have n - 1 separators, and no document contains one, so separators are where documents
end.
"""

import logging
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text import (
    documents,
    files,
    selection,
    sources,
    stream_cache,
    windows,
)

Encode = Callable[[Sequence[str]], list[list[int]]]

# Characters (or ready tokens) that are encoded together: enough for every core, little to hold.
BATCH_SIZE = 2**20
_logger = logging.getLogger(__name__)


class Domain(NamedTuple):
    """What the stream of a domain is read from.

    Attributes:
        text: where its documents come from.
        encode: turns texts into tokens; None if all documents must be ready tokens.
        config: of the model.
        folder: where its stream is cached; None caches nothing.
    """

    text: sources.Text
    encode: Encode | None
    config: Config
    folder: pathlib.Path | None = None


def split_documents(stream: np.ndarray, separator: int) -> list[np.ndarray]:
    """Splits a stream, int32[tokens], into its documents."""
    pieces = np.split(stream, np.flatnonzero(stream == separator))
    return [pieces[0], *(piece[1:] for piece in pieces[1:])]


def join_documents(split: Sequence[np.ndarray], separator: int) -> np.ndarray:
    """Joins documents to the stream, int32[tokens], that `split_documents` splits."""
    mark = np.array([separator], np.int32)
    parts = [part for document in split for part in (mark, document)]
    return np.concatenate(parts[1:]) if parts else np.empty(0, np.int32)


def read(
    domains: Sequence[Domain],
    limit: windows.Limit | None = None,
    batch_size: int = BATCH_SIZE,
) -> list[stream_cache.Stream]:
    """Reads the streams of all domains, or their beginnings.

    With a limit, domains get equal shares of it. What a domain leaves of its share goes to the
    others, which are then read further.

    Args:
        domains: what to read.
        limit: on the tokens of all domains together; None reads everything.
        batch_size: the characters or ready tokens that are encoded together, about.

    Raises:
        CorpusError: a document cannot be read or holds a special token, a domain has no token, or
            a file changed.
        TokenizerError: there is text, but no tokenizer.
    """
    readers = [_Reader(domain, batch_size) for domain in domains]
    if limit is None:
        found = [reader.read(None) for reader in readers]
    else:
        found = _read_shares(readers, limit)
    for reader, stream in zip(readers, found, strict=True):
        reader.keep(stream)
    return found


def _read_shares(
    readers: Sequence["_Reader"], limit: windows.Limit
) -> list[stream_cache.Stream]:
    share = limit.max_tokens // len(readers)
    while True:
        most = windows.stream_limit(share, limit.window)
        streams = [reader.read(most) for reader in readers]
        larger = _larger_share(streams, limit)
        if larger is None or larger == share:
            return streams
        share = larger


def _larger_share(
    streams: Sequence[stream_cache.Stream], limit: windows.Limit
) -> int | None:
    """Returns the share of domains that have more, given what the others need."""
    needs = [
        windows.counted_tokens(len(stream.tokens), limit.window)
        if stream.is_whole
        else None
        for stream in streams
    ]
    return windows.equal_share(limit.max_tokens, needs) if None in needs else None


class _Reader:
    """Reads a domain's stream from the cache or from its text, which it reads once at most."""

    def __init__(self, domain: Domain, batch_size: int):
        self._domain = domain
        self._unread = _tokenize(domain, batch_size)
        self._read: stream_cache.Stream | None = None

    def read(self, limit: int | None) -> stream_cache.Stream:
        """Returns the first `limit` tokens, or all of them."""
        folder = self._domain.folder
        if self._read is None:
            cached = stream_cache.find(folder, limit) if folder else None
            if cached is not None:
                return cached
            _logger.info("%s: tokenizing", self._domain.text.title)
        pieces = [] if self._read is None else [self._read]
        count = sum(len(piece.tokens) for piece in pieces)
        is_whole = bool(pieces) and pieces[-1].is_whole
        # One token more than the limit shows that there are more.
        while not is_whole and (limit is None or count <= limit):
            piece = next(self._unread)
            pieces.append(piece)
            count += len(piece.tokens)
            is_whole = piece.is_whole
        tokens, _, tables = zip(*pieces, strict=True)
        self._read = stream_cache.Stream(
            np.concatenate(tokens), is_whole, np.concatenate(tables)
        )
        return self._read.beginning(limit)

    def keep(self, stream: stream_cache.Stream) -> None:
        """Caches what was read from text, if the text is still what it was."""
        if self._read is not None:
            files.refuse_changed(self._domain.text.listed)
            if self._domain.folder is not None:
                stream_cache.save(self._domain.folder, stream)


def _tokenize(domain: Domain, batch_size: int) -> Iterator[stream_cache.Stream]:
    """Yields a domain's stream in pieces, of which the last one says that it is."""
    separator = windows.marks_of(domain.config).separator
    place = 0
    is_first = is_empty = True
    for batch in _batches(domain.text, batch_size):
        piece: list[int] = []
        table = []
        encoded = _encode(batch.documents, domain.encode)
        rows = zip(batch.documents, batch.passed, encoded, strict=False)
        for document, passed, tokens in rows:
            _check_tokens(tokens, document, domain.config)
            if not is_first:
                piece.append(separator)
            table.append((place + len(piece), document.size, *passed))
            piece += tokens
            is_first = False
            is_empty = is_empty and not tokens
        place += len(piece)
        if batch.is_last:
            table.append((place, 0, *batch.passed[-1]))
            _check_not_empty(domain.text, is_empty, is_first)
        rows_of = np.array(table, np.int64).reshape(-1, stream_cache.TABLE_COLUMNS)
        yield stream_cache.Stream(np.array(piece, np.int32), batch.is_last, rows_of)


def _check_not_empty(text: sources.Text, is_empty: bool, has_none: bool) -> None:
    if has_none and text.selection.where:
        raise errors.CorpusError(
            f"{text.title}: no document has {text.selection}. Compare with what is in the text."
        )
    if is_empty:
        raise errors.CorpusError(f"{text.title}: no document has any text. Add some.")


class _Batch(NamedTuple):
    """Documents that are encoded together; how many records were passed over before each, and at the end."""

    documents: list[documents.Document]
    passed: list[list[int]]
    is_last: bool


def _batches(text: sources.Text, batch_size: int) -> Iterator[_Batch]:
    batch: list[documents.Document] = []
    passed = [[0] * len(selection.PASSED)]
    size = 0
    for document in text.read():
        if isinstance(document, selection.Passed):
            passed[-1][selection.PASSED.index(document.why)] += 1
            continue
        batch.append(document)
        passed.append([0] * len(selection.PASSED))
        size += 1 + len(document.content)
        if size >= batch_size:
            yield _Batch(batch, passed, False)
            batch, passed, size = [], [passed[-1]], 0
    yield _Batch(batch, passed, True)


def _encode(
    batch: Sequence[documents.Document], encode: Encode | None
) -> Iterator[list[int]]:
    """Yields the tokens of each document; those of all texts come from one call."""
    texts = [document for document in batch if isinstance(document.content, str)]
    if texts and encode is None:
        raise errors.TokenizerError(
            f"{texts[0].place}: the model has no tokenizer that reads text."
            ' Give documents as {"tokens": [...]}.'
        )
    encoded = iter(encode([str(text.content) for text in texts]) if encode else [])
    for document in batch:
        content = document.content
        yield next(encoded) if isinstance(content, str) else content


def _check_tokens(
    tokens: Sequence[int], document: documents.Document, config: Config
) -> None:
    """Refuses ids outside the vocabulary, and special tokens."""
    if tokens and not 0 <= min(tokens) <= max(tokens) < config.vocab_size:
        wrong = min(tokens) if min(tokens) < 0 else max(tokens)
        raise errors.CorpusError(
            f"{document.place}: token {wrong!s:.20} is not one of the model's, which are 0 to"
            f" {config.vocab_size - 1}"
        )
    special = sorted(set(config.special_tokens).intersection(tokens))
    if special:
        source = (
            "the tokenizer turns this text into"
            if isinstance(document.content, str)
            else "there is"
        )
        raise errors.CorpusError(
            f"{document.place}: {source} special token {special[0]}, which no document may"
            " contain. Remove it: windows add special tokens where they belong."
        )

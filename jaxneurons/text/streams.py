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
from jaxneurons.text import documents, files, stream_cache, windows

Encode = Callable[[Sequence[str]], list[list[int]]]

# Characters (or ready tokens) that are encoded together: enough for every core, little to hold.
BATCH_SIZE = 2**20
_logger = logging.getLogger(__name__)


class Domain(NamedTuple):
    """What the stream of a domain is read from.

    Attributes:
        listed: its text files.
        encode: turns texts into tokens; None if all documents must be ready tokens.
        config: of the model.
        folder: where its stream is cached; None caches nothing.
    """

    listed: tuple[files.TextFile, ...]
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
) -> list[np.ndarray]:
    """Reads the streams of all domains, or their beginnings, int32[tokens] each.

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
        streams = [reader.read(None) for reader in readers]
    else:
        streams = _read_shares(readers, limit)
    for reader, stream in zip(readers, streams, strict=True):
        reader.keep(stream)
    return [stream.tokens for stream in streams]


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
        self._tokens: np.ndarray | None = None

    def read(self, limit: int | None) -> stream_cache.Stream:
        """Returns the first `limit` tokens, or all of them."""
        folder = self._domain.folder
        if self._tokens is None:
            cached = stream_cache.find(folder, limit) if folder else None
            if cached is not None:
                return cached
            _logger.info("%s: tokenizing", _describe(self._domain.listed))
        pieces = [] if self._tokens is None else [self._tokens]
        count = sum(map(len, pieces))
        is_whole = False
        # One token more than the limit shows that there are more.
        while not is_whole and (limit is None or count <= limit):
            piece = next(self._unread, None)
            is_whole = piece is None
            if piece is not None:
                pieces.append(piece)
                count += len(piece)
        self._tokens = np.concatenate(pieces)
        return stream_cache.Stream(self._tokens[:limit], is_whole)

    def keep(self, stream: stream_cache.Stream) -> None:
        """Caches what was read from text, if the text is still what it was."""
        if self._tokens is not None:
            files.refuse_changed(self._domain.listed)
            if self._domain.folder is not None:
                stream_cache.save(self._domain.folder, stream)


def _tokenize(domain: Domain, batch_size: int) -> Iterator[np.ndarray]:
    """Yields a domain's stream in pieces, int32[tokens]."""
    separator = windows.marks_of(domain.config).separator
    is_first = is_empty = True
    for batch in _batches(domain.listed, batch_size):
        piece: list[int] = []
        encoded = _encode(batch, domain.encode)
        for document, tokens in zip(batch, encoded, strict=True):
            _check_tokens(tokens, document, domain.config)
            if not is_first:
                piece.append(separator)
            piece += tokens
            is_first = False
            is_empty = is_empty and not tokens
        yield np.array(piece, np.int32)
    if is_empty:
        raise errors.CorpusError(
            f"{_describe(domain.listed)}: no document has any text. Add some."
        )


def _batches(
    listed: Sequence[files.TextFile], batch_size: int
) -> Iterator[list[documents.Document]]:
    batch: list[documents.Document] = []
    size = 0
    for file in listed:
        for document in documents.read_documents(file):
            batch.append(document)
            size += 1 + len(document.content)
            if size >= batch_size:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


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


def _describe(listed: Sequence[files.TextFile]) -> str:
    more = f" and {len(listed) - 1} more files" if len(listed) > 1 else ""
    return f"{listed[0].path}{more}"

"""Files of documents in, one token stream a domain out, read no further than is asked.

The stream of a domain is the tokens of its documents, file after file, joined by the
separator `eos_token_id`.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text import documents, inputs, stream_cache, windows

Encode = Callable[[Sequence[str]], list[list[int]]]

# Characters (or ready tokens) encoded together: enough for every core, little to hold.
_BATCH_SIZE = 2**20
_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """A domain on its way from text to tokens.

    Attributes:
        files: its text.
        folder: where its stream is cached; None caches nothing.
        read: the stream as far as it was read from text, int32[tokens] each.
        unread: yields the rest.
    """

    files: tuple[inputs.TextFile, ...]
    folder: pathlib.Path | None
    read: list[np.ndarray]
    unread: Iterator[np.ndarray]


def open_domain(
    files: tuple[inputs.TextFile, ...],
    encode: Encode | None,
    config: Config,
    folder: pathlib.Path | None,
) -> Domain:
    """Prepares a domain; no text is read yet. Without `encode`, only ready tokens will do."""
    return Domain(files, folder, [], _tokenize(files, encode, config))


def read_shares(
    domains: Sequence[Domain], window: int, max_tokens: int | None
) -> list[np.ndarray]:
    """Reads of each domain, int32[tokens], what an equal share of `max_tokens` allows.

    What a domain leaves of its share goes to the others, which are then read further.
    """
    share = None if max_tokens is None else max_tokens // len(domains)
    while True:
        limit = None if share is None else windows.stream_limit(share, window)
        streams = [_read(domain, limit) for domain in domains]
        larger = _larger_share(streams, window, max_tokens)
        if larger is None or larger == share:
            break
        share = larger
    for domain, stream in zip(domains, streams, strict=True):
        _keep(domain, stream)
    return [stream.tokens for stream in streams]


def _larger_share(
    streams: Sequence[stream_cache.Stream], window: int, max_tokens: int | None
) -> int | None:
    """Returns the share of domains that have more, given what the others need."""
    needs = [
        windows.counted_tokens(len(stream.tokens), window) if stream.is_whole else None
        for stream in streams
    ]
    if max_tokens is None or None not in needs:
        return None
    return windows.equal_share(max_tokens, needs)


def _read(domain: Domain, limit: int | None) -> stream_cache.Stream:
    """Returns the first `limit` tokens of a domain, from the cache or from its text."""
    if not domain.read:
        cached = stream_cache.find(domain.folder, limit) if domain.folder else None
        if cached is not None:
            return cached
        _logger.info("%s: tokenizing", _describe(domain.files))
    count = sum(map(len, domain.read))
    is_whole = False
    while not is_whole and (limit is None or count <= limit):
        piece = next(domain.unread, None)
        is_whole = piece is None
        if piece is not None:
            domain.read.append(piece)
            count += len(piece)
    # One array from here on, so that no token is held twice.
    domain.read[:] = [np.concatenate(domain.read)]
    return stream_cache.Stream(domain.read[0][:limit], is_whole)


def _keep(domain: Domain, stream: stream_cache.Stream) -> None:
    """Caches what was read from text, if the text is still what it was."""
    if domain.read:
        inputs.refuse_changed(domain.files)
        if domain.folder is not None:
            stream_cache.save(domain.folder, stream)


def _tokenize(
    files: Sequence[inputs.TextFile], encode: Encode | None, config: Config
) -> Iterator[np.ndarray]:
    """Yields a domain's stream in pieces, int32[tokens].

    Raises:
        CorpusError: a document cannot be read or holds a special token, or there is no
            token in all of them.
    """
    is_first = is_empty = True
    for batch in _batches(files):
        piece: list[int] = []
        for document, tokens in zip(batch, _encode(batch, encode), strict=True):
            _check_tokens(tokens, document, config)
            if not is_first:
                piece.append(config.eos_token_id)
            piece += tokens
            is_first = False
            is_empty = is_empty and not tokens
        yield np.array(piece, np.int32)
    if is_empty:
        raise errors.CorpusError(
            f"{_describe(files)}: no text in any document, wanted at least one token"
        )


def _batches(
    files: Sequence[inputs.TextFile],
) -> Iterator[list[documents.Document]]:
    batch: list[documents.Document] = []
    size = 0
    for file in files:
        for document in documents.read_documents(file):
            batch.append(document)
            size += 1 + len(document.content)
            if size >= _BATCH_SIZE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _encode(
    batch: Sequence[documents.Document], encode: Encode | None
) -> Iterator[list[int]]:
    """Yields the tokens of each document; those of the texts come from one call."""
    texts = [text.content for text in batch if isinstance(text.content, str)]
    if texts and encode is None:
        place = next(text.place for text in batch if isinstance(text.content, str))
        raise errors.TokenizerError(
            f"{place}: text, but the model has no tokenizer; wanted ready tokens"
        )
    encoded = iter(encode(texts) if encode else [])
    for document in batch:
        content = document.content
        yield next(encoded) if isinstance(content, str) else content


def _check_tokens(
    tokens: Sequence[int], document: documents.Document, config: Config
) -> None:
    """Refuses ids outside the vocabulary, and special ones."""
    is_text = isinstance(document.content, str)
    if tokens and not 0 <= min(tokens) <= max(tokens) < config.vocab_size:
        wrong = min(tokens) if min(tokens) < 0 else max(tokens)
        raise errors.CorpusError(
            f"{document.place}: token {wrong!s:.20}, wanted 0 to"
            f" {config.vocab_size - 1} (vocab_size {config.vocab_size})"
        )
    special = sorted(set(config.special_tokens).intersection(tokens))
    if special:
        source = "text that the tokenizer turns into" if is_text else "ready"
        raise errors.CorpusError(
            f"{document.place}: {source} special token {special[0]},"
            " wanted none in a document (windows put them in)"
        )


def _describe(files: Sequence[inputs.TextFile]) -> str:
    more = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    return f"{files[0].path}{more}"

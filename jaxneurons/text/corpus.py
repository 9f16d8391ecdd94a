"""Text by domain in; streams of tokens, or windows of them, out.

Only this code adds special tokens: a literal `</s>` in a document is text like any other, and a
document that becomes special tokens all the same is refused.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import strict_json
from jaxneurons.text import (
    corpora,
    documents,
    files,
    selection,
    sources,
    stream_cache,
    streams,
    windows,
)
from jaxneurons.text.left_out import LeftOut
from jaxneurons.text.sources import Source
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.text.windows import Windows

# Name and source of each domain's text, in order; a path is a source that is read by default.
Sources = Sequence[tuple[str, pathlib.Path | Source]]

_STREAM_FORMAT = 2


class DomainStream(NamedTuple):
    """A domain as one sequence of tokens.

    Attributes:
        name: of the domain.
        tokens: int32[tokens], its documents joined by the separator.
        separator: what no document contains.
        fingerprint: of its text, file names and tokenizer; of its tokens where it has no files.
        reading: what they were read from.
    """

    name: str
    tokens: np.ndarray
    separator: int
    fingerprint: str
    reading: windows.Reading

    def documents(self) -> list[np.ndarray]:
        """Its documents, int32[tokens] each, in order."""
        return streams.split_documents(self.tokens, self.separator)


def read_documents(given: Sources) -> Iterator[documents.Document]:
    """Yields the documents of all domains in order; raises as `documents.read_documents` does."""
    for text in _open(given):
        for document in text.read():
            if isinstance(document, documents.Document):
                yield document


def load_streams(
    given: Sources,
    tokenizer: Tokenizer | None,
    config: Config,
    limit: windows.Limit | None = None,
    cache_directory: pathlib.Path | None = None,
) -> list[DomainStream]:
    """Reads every domain's text as one stream of tokens.

    Args:
        given: name and source of each domain, in order.
        tokenizer: may be None, or one that reads no text, if all documents are ready tokens.
        config: of the model.
        limit: on the tokens of all domains together, which get equal shares of it: each gets the
            smaller of what it has and the largest share for which all of them stay within the
            limit. A domain is read and tokenized no further than its share. None reads everything.
        cache_directory: where tokenized text is kept; None keeps none.

    Raises:
        UsageError: there is no domain, or the model has no token that begins a document.
        CorpusError: the text cannot be read, a domain has none, or two share a file; the message
            says where.
        TokenizerError: there is text, but no tokenizer that reads it.
        InputOutputError: the operating system refuses.
    """
    if not given:
        raise errors.UsageError("there is no corpus. Give at least one domain of text.")
    texts = _open(given)
    files.refuse_repeated((text.listed, str(text.selection)) for text in texts)
    facts = [_facts(text, tokenizer, config) for text in texts]
    encode = tokenizer.encode if tokenizer and tokenizer.reads_text else None
    domains = [
        streams.Domain(text, encode, config, _cache_folder(cache_directory, text, fact))
        for text, fact in zip(texts, facts, strict=True)
    ]
    read = streams.read(domains, limit)
    return [
        DomainStream(
            name,
            stream.tokens,
            windows.marks_of(config).separator,
            _fingerprint(fact if text.listed else fact | _digest(stream)),
            _reading(text, stream),
        )
        for (name, _), text, fact, stream in zip(given, texts, facts, read, strict=True)
    ]


def load_windows(
    given: Sources,
    tokenizer: Tokenizer | None,
    config: Config,
    window: int,
    max_tokens: int | None = None,
    cache_directory: pathlib.Path | None = None,
) -> Windows:
    """Reads every domain's text, or its beginning, as windows of T = `window` tokens.

    Args:
        given: name and source of each domain, in order.
        tokenizer: may be None if all documents are ready tokens.
        config: of the model.
        window: T, from 2 to the model's longest context.
        max_tokens: tokens of all windows together, at most, starts included and padding not;
            domains share it as in `load_streams`. None reads everything.
        cache_directory: where tokenized text is kept; None keeps none.

    Raises:
        UsageError: the window or the limit does not fit this model or these domains.
        JaxneuronsError: as `load_streams` does.
    """
    _check_request(given, config, window, max_tokens)
    limit = None if max_tokens is None else windows.Limit(max_tokens, window)
    read = load_streams(given, tokenizer, config, limit, cache_directory)
    tokens = [stream.tokens for stream in read]
    return Windows(
        *windows.cut(tokens, window, windows.marks_of(config)),
        names=tuple(stream.name for stream in read),
        fingerprints=tuple(stream.fingerprint for stream in read),
        max_tokens=max_tokens,
        readings=tuple(stream.reading for stream in read),
    )


def _check_request(
    given: Sources, config: Config, window: int, max_tokens: int | None
) -> None:
    longest = config.max_position_embeddings
    if not 2 <= window <= longest:
        raise errors.UsageError(
            f"window {window} is not between 2 and {longest}, the model's longest context"
        )
    # The start of a window and one token of text.
    least = 2 * len(given)
    if max_tokens is not None and max_tokens < least:
        raise errors.UsageError(
            f"max_tokens {max_tokens} leaves a domain nothing. Allow at least {least} tokens for"
            f" {len(given)} domains."
        )


def _open(given: Sources) -> list[sources.Text]:
    for name, _ in given:
        corpora.check_name(name, f"domain {name!r}")
    return [
        sources.open_text(sources.make_source(source), name) for name, source in given
    ]


def _facts(
    text: sources.Text, tokenizer: Tokenizer | None, config: Config
) -> dict[str, Any]:
    """Everything that decides a domain's stream, every byte of its files included."""
    return {
        "format": _STREAM_FORMAT,
        "files": [
            (file.name, file.size, files.digest_of(file)) for file in text.listed
        ],
        "selection": text.selection,
        "tokenizer": tokenizer.digest if tokenizer else None,
        "special_tokens": config.special_tokens,
        "separator": windows.marks_of(config).separator,
        "vocab_size": config.vocab_size,
    }


def _digest(stream: stream_cache.Stream) -> dict[str, str]:
    return {"tokens": hashlib.sha256(np.ascontiguousarray(stream.tokens)).hexdigest()}


def _fingerprint(facts: dict[str, Any]) -> str:
    return hashlib.sha256(strict_json.to_bytes(facts)).hexdigest()


def _reading(text: sources.Text, stream: stream_cache.Stream) -> windows.Reading:
    passed = stream.table[:, 2:].sum(axis=0).tolist()
    left_out = [
        LeftOut("documents", why, number)
        for why, number in zip(selection.PASSED, passed, strict=True)
        if number
    ]
    if not stream.is_whole:
        left_out.append(
            LeftOut("the rest of the text", "beyond the share of tokens", None)
        )
    return windows.Reading(
        len(stream.table) - stream.is_whole,
        int(stream.table[:, 1].sum()),
        (*text.left_out, *left_out),
    )


def _cache_folder(
    cache_directory: pathlib.Path | None, text: sources.Text, facts: dict[str, Any]
) -> pathlib.Path | None:
    """Names the folder of a domain; another release may tokenize otherwise. What has no files has none."""
    if cache_directory is None or not text.listed:
        return None
    release = f"tokenizers-{tokenizers.__version__}"
    return cache_directory / "tokens" / _fingerprint(facts) / release

"""Text by domain in; streams of tokens, or windows of them, out.

Only this code adds special tokens: a literal `</s>` in a document is text like any other, and a
document that becomes special tokens all the same is refused.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tokenizers

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import strict_json
from jaxneurons.text import documents, files, streams, windows
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.text.windows import Windows

# Name and path of each domain's text, in order.
Sources = Sequence[tuple[str, pathlib.Path]]

_STREAM_FORMAT = 1


class DomainStream(NamedTuple):
    """A domain as one sequence of tokens.

    Attributes:
        name: of the domain.
        tokens: int32[tokens], its documents joined by the separator.
        separator: what no document contains.
        fingerprint: of its text, file names and tokenizer.
    """

    name: str
    tokens: np.ndarray
    separator: int
    fingerprint: str

    def documents(self) -> list[np.ndarray]:
        """Its documents, int32[tokens] each, in order."""
        return streams.split_documents(self.tokens, self.separator)


def read_documents(sources: Sources) -> Iterator[documents.Document]:
    """Yields the documents of all domains in order; raises as `documents.read_documents` does."""
    for _, path in sources:
        for file in files.list_files(path):
            yield from documents.read_documents(file)


def load_streams(
    sources: Sources,
    tokenizer: Tokenizer | None,
    config: Config,
    limit: windows.Limit | None = None,
    cache_directory: pathlib.Path | None = None,
) -> list[DomainStream]:
    """Reads every domain's text as one stream of tokens.

    Args:
        sources: name and path of each domain, in order.
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
    if not sources:
        raise errors.UsageError("there is no corpus. Give at least one domain of text.")
    listed = [files.list_files(path) for _, path in sources]
    files.refuse_repeated(listed)
    fingerprints = [_fingerprint(domain, tokenizer, config) for domain in listed]
    encode = tokenizer.encode if tokenizer and tokenizer.reads_text else None
    domains = [
        streams.Domain(domain, encode, config, _cache_folder(cache_directory, digest))
        for domain, digest in zip(listed, fingerprints, strict=True)
    ]
    read = streams.read(domains, limit)
    separator = windows.marks_of(config).separator
    return [
        DomainStream(name, tokens, separator, digest)
        for (name, _), tokens, digest in zip(sources, read, fingerprints, strict=True)
    ]


def load_windows(
    sources: Sources,
    tokenizer: Tokenizer | None,
    config: Config,
    window: int,
    max_tokens: int | None = None,
    cache_directory: pathlib.Path | None = None,
) -> Windows:
    """Reads every domain's text, or its beginning, as windows of T = `window` tokens.

    Args:
        sources: name and path of each domain, in order.
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
    _check_request(sources, config, window, max_tokens)
    limit = None if max_tokens is None else windows.Limit(max_tokens, window)
    read = load_streams(sources, tokenizer, config, limit, cache_directory)
    tokens = [stream.tokens for stream in read]
    return Windows(
        *windows.cut(tokens, window, windows.marks_of(config)),
        names=tuple(stream.name for stream in read),
        fingerprints=tuple(stream.fingerprint for stream in read),
        max_tokens=max_tokens,
    )


def _check_request(
    sources: Sources, config: Config, window: int, max_tokens: int | None
) -> None:
    longest = config.max_position_embeddings
    if not 2 <= window <= longest:
        raise errors.UsageError(
            f"window {window} is not between 2 and {longest}, the model's longest context"
        )
    # The start of a window and one token of text.
    least = 2 * len(sources)
    if max_tokens is not None and max_tokens < least:
        raise errors.UsageError(
            f"max_tokens {max_tokens} leaves a domain nothing. Allow at least {least} tokens for"
            f" {len(sources)} domains."
        )


def _fingerprint(
    listed: Sequence[files.TextFile], tokenizer: Tokenizer | None, config: Config
) -> str:
    """Digests everything that decides a domain's stream, every byte of its files included."""
    facts = {
        "format": _STREAM_FORMAT,
        "files": [(file.name, file.size, files.digest_of(file)) for file in listed],
        "tokenizer": tokenizer.digest if tokenizer else None,
        "special_tokens": config.special_tokens,
        "separator": windows.marks_of(config).separator,
        "vocab_size": config.vocab_size,
    }
    return hashlib.sha256(strict_json.to_bytes(facts)).hexdigest()


def _cache_folder(
    cache_directory: pathlib.Path | None, fingerprint: str
) -> pathlib.Path | None:
    """Names the folder of a domain; another release may tokenize otherwise."""
    if cache_directory is None:
        return None
    release = f"tokenizers-{tokenizers.__version__}"
    return cache_directory / "tokens" / fingerprint / release

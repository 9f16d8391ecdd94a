"""Text by domain in, windows of tokens out: the only file that tokenizes.

The stream of a domain is the tokens of its documents, file after file, joined by the
separator `eos_token_id`: n documents have n - 1 separators, and none is left out or read
twice. Special tokens are put in by us alone: a literal `</s>` in a document is text, and a
document that turns into special tokens all the same is refused.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import tokenizers

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files
from jaxneurons.text import inputs, streams, token_vocabulary, windows
from jaxneurons.text.windows import Windows

# Without torch, transformers says on import that models are not to be had; tokenizers are enough.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
import transformers

# What a tokenizer is read from; the digest covers those that are there.
TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_SUFFICIENT_FILES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})
_PROBE = "Hello world!"
_STREAM_FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer that fits its model.

    Attributes:
        digest: SHA-256 over the tokenizer's files.
        vocabulary: the entries, id to piece as the vocabulary spells it ("Ġtitle"); a model
            may have more embedding rows than that, which mean nothing.
        backend: turns text into ids and takes no part of it for a special token.
    """

    digest: str
    vocabulary: Mapping[int, str]
    backend: tokenizers.Tokenizer

    def __len__(self) -> int:
        """Counts the ids that mean something."""
        return len(self.vocabulary)

    def token_text(self, token: int) -> str:
        """Spells an id as the vocabulary does; `<id 50270>` for an id without an entry."""
        return self.vocabulary.get(token, f"<id {token}>")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns each text into ids, with no special token before, in or after it."""
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def load_tokenizer(directory: pathlib.Path, config: Config) -> Tokenizer:
    """Loads the tokenizer in `directory`; nothing in there is ever run as code.

    Where `tokenizer.json` stands beside `vocab.json` and `merges.txt`, all must say the same.

    Raises:
        TokenizerError: it is missing or damaged, contradicts itself, has ids that the model has no embedding
            for, or does not begin a text with exactly one BOS.
    """
    contents = _read_files(directory)
    token_vocabulary.refuse_contradictions(contents, directory)
    tokenizer = _load_pretrained(directory)
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    _check_beginning(backend.encode(_PROBE).ids, directory, config)
    # Without this, a literal "</s>" in a text is taken for the special token.
    backend.encode_special_tokens = True
    vocabulary = {token: text for text, token in backend.get_vocab().items()}
    last = max(vocabulary)
    if last >= config.vocab_size:
        raise errors.TokenizerError(
            f"{directory}: token {last} ({vocabulary[last]!r}) of {len(vocabulary)} has no"
            f" embedding, wanted ids below the model's vocab_size {config.vocab_size}"
        )
    return Tokenizer(_digest(contents), vocabulary, backend)


def _read_files(directory: pathlib.Path) -> dict[str, bytes]:
    """Contents of those of the tokenizer's files that there are, which must be enough."""
    contents = {}
    for name in TOKENIZER_FILES:
        try:
            contents[name] = files.read_file(directory / name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise files.io_error("read", directory / name, error) from error
    if not any(needed <= contents.keys() for needed in _SUFFICIENT_FILES):
        raise errors.TokenizerError(
            f"{directory}: no tokenizer here,"
            " wanted tokenizer.json, or vocab.json and merges.txt"
        )
    return contents


def _digest(contents: Mapping[str, bytes]) -> str:
    digests = {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _load_pretrained(directory: pathlib.Path) -> transformers.PreTrainedTokenizerFast:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(directory),
            # Given, so that the directory's own config.json is neither needed nor read.
            config=transformers.OPTConfig(),
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:  # Of any type: tokenizers raises bare Exception.
        raise errors.TokenizerError(
            f"{directory}: not a tokenizer that transformers can load: "
            f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
        ) from error
    if not tokenizer.is_fast:
        raise errors.TokenizerError(
            f"{directory}: {type(tokenizer).__name__} is a tokenizer in Python,"
            " wanted one of the tokenizers library"
        )
    return tokenizer


def _check_beginning(
    tokens: list[int], directory: pathlib.Path, config: Config
) -> None:
    bos = config.bos_token_id
    if tokens[:1] != [bos] or tokens[1:2] == [bos]:
        raise errors.TokenizerError(
            f"{directory}: adds {'two' if tokens[:1] == [bos] else 'no'} BOS:"
            f" {_PROBE!r} begins with {tokens[:3]}, wanted exactly one {bos}"
            " (see add_bos_token in tokenizer_config.json)"
        )


def load_windows(
    sources: Sequence[tuple[str, pathlib.Path]],
    tokenizer: Tokenizer | None,
    config: Config,
    window: int,
    max_tokens: int | None = None,
    cache_directory: pathlib.Path | None = None,
) -> Windows:
    """Reads every domain's text, or its beginning, as windows of T = `window` tokens.

    With `max_tokens`, domains get equal shares of it: each gets the smaller of what it has
    and the largest share for which all of them stay within `max_tokens`, BOS counted and
    padding not. A domain is read and tokenized no further than its share.

    Args:
        sources: name and path of each domain, in order.
        tokenizer: may be None if all documents are ready tokens.
        config: of the model.
        window: T, from 2 to the model's longest context.
        max_tokens: tokens of all windows together, at most; None reads everything.
        cache_directory: where tokenized text is kept; None keeps none.

    Raises:
        UsageError: the window or the limit means nothing for this model or these domains.
        CorpusError: the text cannot be read, a domain has none, or two share a file; the message says where.
    """
    _check_request(sources, config, window, max_tokens)
    listed = [inputs.list_files(path) for _, path in sources]
    inputs.refuse_repeated(listed)
    fingerprints = tuple(_fingerprint(text, tokenizer, config) for text in listed)
    domains = [
        streams.open_domain(
            text,
            tokenizer.encode if tokenizer else None,
            config,
            _cache_folder(cache_directory, fingerprint),
        )
        for text, fingerprint in zip(listed, fingerprints, strict=True)
    ]
    arrays = windows.cut(
        streams.read_shares(domains, window, max_tokens),
        window,
        config.bos_token_id,
        config.pad_token_id,
    )
    return Windows(*arrays, tuple(name for name, _ in sources), fingerprints)


def _check_request(
    sources: Sequence[tuple[str, pathlib.Path]],
    config: Config,
    window: int,
    max_tokens: int | None,
) -> None:
    if not sources:
        raise errors.UsageError("no corpus, wanted at least one NAME=PATH")
    longest = config.max_position_embeddings
    if not 2 <= window <= longest:
        raise errors.UsageError(
            f"window {window}: wanted 2 to {longest}, the model's longest context"
        )
    if max_tokens is not None and max_tokens < 2 * len(sources):
        raise errors.UsageError(
            f"max_tokens {max_tokens}: leaves a domain nothing,"
            f" wanted at least 2 (BOS and a token) for each of {len(sources)} domains"
        )


def _fingerprint(
    listed: Sequence[inputs.TextFile],
    tokenizer: Tokenizer | None,
    config: Config,
) -> str:
    """Digests all that decides a domain's stream: every byte of its files is read."""
    facts = {
        "format": _STREAM_FORMAT,
        "files": [(file.name, file.size, inputs.digest_of(file)) for file in listed],
        "tokenizer": tokenizer.digest if tokenizer else None,
        "special_tokens": config.special_tokens,
        "separator": config.eos_token_id,
        "vocab_size": config.vocab_size,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _cache_folder(
    cache_directory: pathlib.Path | None, fingerprint: str
) -> pathlib.Path | None:
    """Names the folder of a domain; other releases may tokenize otherwise."""
    if cache_directory is None:
        return None
    releases = f"tokenizers-{tokenizers.__version__}-{transformers.__version__}"
    return cache_directory / "tokens" / fingerprint / releases

"""Token streams in, padded windows out; and how several domains share a limit on tokens.

A window is T tokens: the one that begins a document, then T - 1 tokens of its domain's stream, in
order. All windows of a domain are full except for the last, which is padded on the right.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text.left_out import LeftOut


class Marks(NamedTuple):
    """The tokens that streams and windows add to the text, and that no document contains.

    Attributes:
        start: begins every window.
        separator: stands between two documents of a stream.
        padding: fills the last window of a domain.
    """

    start: int
    separator: int
    padding: int


def marks_of(config: Config) -> Marks:
    """The marks of a model: the one place where its special tokens get their meaning.

    Raises:
        UsageError: its configuration names no token that begins a document.
    """
    start = config.document_start_token_id
    if start is None:
        raise errors.UsageError(
            "the model's config.json names no token of its vocabulary that begins a document. Name "
            f"one by its id, from 0 to {config.vocab_size - 1}.",
            remedy={"document_start": "ID"},
        )
    # Nobody looks at padding, so where the model has none any token will do.
    padding = 0 if config.pad_token_id is None else config.pad_token_id
    return Marks(start, start, padding)


class Reading(NamedTuple):
    """What was read of a domain, before its text was cut into windows.

    Attributes:
        documents: of which tokens were read; of the last one perhaps not all.
        bytes: of their text in UTF-8; ready tokens have none.
        left_out: what was not read, and why.
    """

    documents: int
    bytes: int
    left_out: tuple[LeftOut, ...] = ()

    def describe(self, tokens: int) -> str:
        """The numbers in words; `tokens`: how many it became."""
        counted = f"{self.documents:,} document{'s' * (self.documents != 1)}, {self.bytes:,} bytes, {tokens:,} tokens"
        others = "; ".join(map(str, self.left_out))
        return f"{counted}; left out: {others}" if others else counted


class Windows(NamedTuple):
    """A corpus as the model reads it: W windows of T tokens, domain after domain.

    Attributes:
        tokens: int32[W, T]; what lies beyond a window's length is padding.
        lengths: int32[W], tokens that are not padding.
        domains: int32[W], index into `names`.
        names: of the domains.
        fingerprints: of each domain's text, file names and tokenizer.
        max_tokens: the most tokens that were asked for, over all domains; None is all.
        readings: what was read of each domain; nothing where the windows were not read from text.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    domains: np.ndarray
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    max_tokens: int | None = None
    readings: tuple[Reading, ...] = ()

    def part(self, first: int, stop: int) -> "Windows":
        """The windows from `first` up to and without `stop`, of the same domains."""
        arrays = (self.tokens, self.lengths, self.domains)
        tokens, lengths, domains = (array[first:stop] for array in arrays)
        return self._replace(tokens=tokens, lengths=lengths, domains=domains)

    def of_domains_present(self) -> "Windows":
        """The same windows, without the domains that have none of them."""
        present = np.unique(self.domains)
        names, fingerprints, readings = (
            tuple(each[index] for index in present) if each else ()
            for each in (self.names, self.fingerprints, self.readings)
        )
        return self._replace(
            domains=np.searchsorted(present, self.domains).astype(np.int32),
            names=names,
            fingerprints=fingerprints,
            readings=readings,
        )

    def full_windows(self) -> list[int]:
        """How many windows of each domain have all T tokens."""
        full = self.domains[self.lengths == self.tokens.shape[1]]
        return np.bincount(full, minlength=len(self.names)).tolist()


class Limit(NamedTuple):
    """How much text to read.

    Attributes:
        max_tokens: tokens of all windows together, starts included and padding not.
        window: T.
    """

    max_tokens: int
    window: int


def cut(
    streams: Sequence[np.ndarray], window: int, marks: Marks
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts one stream per domain, int32[tokens] each, into windows of T = `window` tokens.

    Returns:
        tokens int32[W, T], the windows of the first domain first; lengths int32[W], starts
        included and padding not; domains int32[W].
    """
    text = window - 1
    counts = [-(-len(stream) // text) for stream in streams]
    tokens = np.full((sum(counts), window), marks.padding, np.int32)
    tokens[:, 0] = marks.start
    lengths = np.full(sum(counts), window, np.int32)
    first = 0
    for stream, count in zip(streams, counts, strict=True):
        full, rest = divmod(len(stream), text)
        tokens[first : first + full, 1:] = stream[: full * text].reshape(full, text)
        if rest:
            tokens[first + full, 1 : 1 + rest] = stream[full * text :]
            lengths[first + full] = 1 + rest
        first += count
    domains = np.repeat(np.arange(len(streams), dtype=np.int32), counts)
    return tokens, lengths, domains


def counted_tokens(stream: int, window: int) -> int:
    """Returns how many tokens the windows of a stream of `stream` tokens have, starts included."""
    return stream + -(-stream // (window - 1))


def stream_limit(share: int, window: int) -> int:
    """Returns the length of the longest stream whose windows have at most `share` tokens."""
    full, rest = divmod(share, window)
    return full * (window - 1) + max(rest - 1, 0)


def equal_share(max_tokens: int, needs: Sequence[int | None]) -> int:
    """Returns what each domain gets that wants more than its share.

    Args:
        max_tokens: what all domains share.
        needs: the tokens of each domain that has no more than its share; None for the others, of
            which there is at least one.
    """
    known = [need for need in needs if need is not None]
    return (max_tokens - sum(known)) // (len(needs) - len(known))

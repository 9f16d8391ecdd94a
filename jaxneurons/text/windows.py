"""Token streams in, padded windows out; and how a limit on tokens is shared by domains.

A window is T tokens: BOS, then T - 1 tokens of its domain's stream, in order. All windows
of a domain are full but the last, which is padded on the right.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """A corpus as the model reads it: W windows of T tokens, domain after domain.

    Attributes:
        tokens: int32[W, T], BOS first; what lies beyond a window's length is padding.
        lengths: int32[W], tokens that are not padding.
        domains: int32[W], index into `names`.
        names: of the domains.
        fingerprints: of each domain's text, file names and tokenizer.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    domains: np.ndarray
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]

    def part(self, first: int, stop: int) -> "Windows":
        """The windows from `first` up to and without `stop`, of the same domains."""
        arrays = (self.tokens, self.lengths, self.domains)
        tokens, lengths, domains = (array[first:stop] for array in arrays)
        return self._replace(tokens=tokens, lengths=lengths, domains=domains)

    def full_windows(self) -> list[int]:
        """How many windows of each domain have all T tokens."""
        full = self.domains[self.lengths == self.tokens.shape[1]]
        return np.bincount(full, minlength=len(self.names)).tolist()


def cut(
    streams: Sequence[np.ndarray], window: int, bos: int, pad: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts one stream a domain, each int32[tokens], into windows of T = `window` tokens.

    Returns:
        tokens int32[W, T], the windows of the first domain first; lengths int32[W], BOS
        included and padding not; domains int32[W].
    """
    text = window - 1
    counts = [-(-len(stream) // text) for stream in streams]
    tokens = np.full((sum(counts), window), pad, np.int32)
    tokens[:, 0] = bos
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
    """Returns how many tokens the windows of a stream of `stream` tokens hold, BOS included."""
    return stream + -(-stream // (window - 1))


def stream_limit(share: int, window: int) -> int:
    """Returns the longest stream whose windows hold at most `share` tokens."""
    full, rest = divmod(share, window)
    return full * (window - 1) + max(rest - 1, 0)


def equal_share(max_tokens: int, needs: Sequence[int | None]) -> int:
    """Returns what each domain that wants more than its share gets.

    Args:
        max_tokens: what there is to share.
        needs: the tokens of each domain that has no more than its share; None for the
            others, of which there is at least one.
    """
    known = [need for need in needs if need is not None]
    return (max_tokens - sum(known)) // (len(needs) - len(known))

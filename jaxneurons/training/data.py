"""Text by domain in; windows to train on and windows held out, and which windows make which batch, out.

Held out are whole documents. The others of a domain are joined by the separator and cut into
windows of T + 1 tokens, BOS first: T inputs, each with the next token as its target, so that every
token of the text is a target once. What does not fill a window is left out. The order is a
function of the seed and the step alone.
"""

import functools
import math
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text import corpus, streams, windows
from jaxneurons.text.tokenizer import Tokenizer


class Domain(NamedTuple):
    """What was read of a domain, how many tokens it became, and a digest of it."""

    reading: windows.Reading
    tokens: int
    fingerprint: str


class Data(NamedTuple):
    """Windows int32[W, T + 1] to train on and to validate on, and what they are from.

    Attributes:
        training: W windows.
        validation: at most as many as were asked for.
        domains: by name, all text, also what fills no window.
    """

    training: np.ndarray
    validation: np.ndarray
    domains: dict[str, Domain]


def load(
    sources: corpus.Sources,
    tokenizer: Tokenizer,
    config: Config,
    validation_share: float,
    validation_windows: int,
    cache_directory: pathlib.Path | None,
) -> Data:
    """Reads, splits and cuts the text of all domains; T is the model's longest context.

    Args:
        sources: name and source of each domain.
        tokenizer: fits the model.
        config: of the model.
        validation_share: share of the documents that is held out, at least one document of each
            domain that has two or more.
        validation_windows: largest number of windows to validate on, spread over all domains.
        cache_directory: where tokenized text is kept; None keeps none.

    Raises:
        UsageError: the share is not between 0 and 1.
        CorpusError: there is no text, less than a window, or nothing that could be held out.
    """
    if not 0 < validation_share < 1:
        raise errors.UsageError(
            f"validation_share is {validation_share}, but must be between 0 and 1."
        )
    read = corpus.load_streams(sources, tokenizer, config, None, cache_directory)
    training: list[np.ndarray] = []
    validation: list[np.ndarray] = []
    domains = {}
    for stream in read:
        texts = stream.documents()
        domains[stream.name] = Domain(
            stream.reading, len(stream.tokens), stream.fingerprint
        )
        held_out = choose_held_out(len(texts), validation_share)
        for target, keep in ((training, ~held_out), (validation, held_out)):
            chosen = [text for text, kept in zip(texts, keep, strict=True) if kept]
            target.append(_cut(chosen, config))
    length = config.max_position_embeddings
    return Data(
        _checked(np.concatenate(training), "to train on", length),
        _spread(
            _checked(np.concatenate(validation), "to validate on", length),
            validation_windows,
        ),
        domains,
    )


def choose_held_out(documents: int, share: float) -> np.ndarray:
    """bool[documents]: evenly spaced ones, so that they are spread over the files; none of one."""
    if documents < 2:
        return np.zeros(documents, bool)
    count = min(max(1, round(share * documents)), documents - 1)
    chosen = np.zeros(documents, bool)
    chosen[((np.arange(count) + 0.5) * documents / count).astype(int)] = True
    return chosen


def batch(training: np.ndarray, seed: int, step: int, size: int) -> np.ndarray:
    """The windows, int32[size, T + 1], of an update: pass after pass, each in an order of its own."""
    places = np.arange(step * size, (step + 1) * size)
    passes, places = np.divmod(places, len(training))
    chosen = [
        _order(len(training), seed, int(number))[place]
        for number, place in zip(passes, places, strict=True)
    ]
    return training[chosen]


def padded_batches(
    validation: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Windows int32[size, T + 1], the last ones repeated where they run out, and how many count."""
    for first in range(0, len(validation), size):
        part = validation[first : first + size]
        yield np.resize(part, (size, part.shape[1])), len(part)


@functools.lru_cache(maxsize=2)
def _order(count: int, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, number]).permutation(count)


def _cut(texts: list[np.ndarray], config: Config) -> np.ndarray:
    """Full windows int32[W, T + 1] of documents; there may be none."""
    marks = windows.marks_of(config)
    stream = streams.join_documents(texts, marks.separator)
    length = config.max_position_embeddings + 1
    cut, lengths, _ = windows.cut([stream], length, marks)
    return cut[lengths == length]


def _checked(found: np.ndarray, purpose: str, length: int) -> np.ndarray:
    if not len(found):
        raise errors.CorpusError(
            f"There is no text {purpose}: no domain has {length} tokens for it, which fill a "
            "window. Give longer text, at least two documents of it, or choose a smaller window."
        )
    return found


def _spread(found: np.ndarray, most: int) -> np.ndarray:
    count = min(len(found), most)
    return found[[math.floor(i * len(found) / count) for i in range(count)]]

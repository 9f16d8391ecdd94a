"""Text by domain in, windows to learn from and windows held out, and which windows make which batch.

Held out are whole documents. The others of a domain are joined by the separator and cut into
windows of T + 1 tokens, BOS first: T inputs, each with the next token as its target, so that every
token of the text is a target once. What does not fill a window is left out. The order is a
function of the seed and the step alone.
"""

import functools
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text import corpus, streams, windows
from jaxneurons.text.tokenizer import Tokenizer


class Data(NamedTuple):
    """Windows int32[W, T + 1] to learn from and to validate on, and a digest of each domain's text."""

    training: np.ndarray
    validation: np.ndarray
    fingerprints: dict[str, str]


def load(
    sources: Sequence[tuple[str, pathlib.Path]],
    tokenizer: Tokenizer,
    config: Config,
    validation_share: float,
    validation_windows: int,
    cache_directory: pathlib.Path | None,
) -> Data:
    """Reads, splits and cuts the text of all domains; T is the model's longest context.

    Args:
        sources: name and path of each domain.
        tokenizer: fits the model.
        config: of the model.
        validation_share: of the documents of each domain that has two or more, at least one.
        validation_windows: most windows to validate on, spread over all domains.
        cache_directory: where tokenized text is kept; None keeps none.

    Raises:
        UsageError: the share is not between 0 and 1.
        CorpusError: there is no text, less than a window, or nothing that could be held out.
    """
    if not 0 < validation_share < 1:
        raise errors.UsageError(
            f"validation_share {validation_share}: wanted more than 0 and less than 1"
        )
    read = corpus.load_streams(
        sources, tokenizer, config, cache_directory=cache_directory
    )
    training: list[np.ndarray] = []
    validation: list[np.ndarray] = []
    for stream in read:
        texts = stream.documents()
        held_out = choose_held_out(len(texts), validation_share)
        for target, keep in ((training, ~held_out), (validation, held_out)):
            chosen = [text for text, kept in zip(texts, keep, strict=True) if kept]
            target.append(_cut(chosen, config))
    length = config.max_position_embeddings
    return Data(
        _checked(np.concatenate(training), "to learn from", length),
        _spread(
            _checked(np.concatenate(validation), "to validate on", length),
            validation_windows,
        ),
        {stream.name: stream.fingerprint for stream in read},
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
            f"text {purpose}: no domain has the {length} tokens of a full window. Give longer text, at "
            "least two documents, or a shorter window."
        )
    return found


def _spread(found: np.ndarray, most: int) -> np.ndarray:
    count = min(len(found), most)
    return found[[math.floor(i * len(found) / count) for i in range(count)]]

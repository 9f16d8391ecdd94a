"""What a neuron's output means for each token: its projection on the vocabulary (paper §4.4).

In: rows of the second FFN matrix and the unembedding, as they are stored. Out: float64 projections, and the
tokens at either end of them.

As in the paper, a projection is the plain product of a neuron's output with the rows of the unembedding: no
LayerNorm is applied and nothing is normalised, so sizes compare within a model only.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypedDict

import numpy as np

from jaxneurons import errors

# Blocks in float64, at 66b's sizes: 0.3 GB of the unembedding, 0.1 GB of projections.
VOCABULARY_BLOCK = 4096
NEURON_BLOCK = 256


class Vocabulary(NamedTuple):
    """How the residual stream reaches tokens, and what is known of these. V counts the tokenizer's real entries.

    unembedding: float[V, E]; project_out: float[D, E], or None where D = E; occurrences: int64[V] of
    each token in the corpus, special ones 0; piece: id -> vocabulary piece, such as "Ġtitle".
    """

    unembedding: np.ndarray
    project_out: np.ndarray | None
    occurrences: np.ndarray
    piece: Callable[[int], str]


class Projection(TypedDict):
    """A token and the projection of a neuron's output on it."""

    id: int
    text: str
    projection: float


def project(
    kernel: np.ndarray, neurons: np.ndarray, vocabulary: Vocabulary
) -> Iterator[np.ndarray]:
    """Each neuron's projections on the vocabulary, float64[V] a neuron. kernel: float[F, D], of fc2; neurons: int[N].

    Raises:
        StoreError: a projection is not finite.
    """
    unembedding = vocabulary.unembedding
    for first in range(0, len(neurons), NEURON_BLOCK):
        block = kernel[neurons[first : first + NEURON_BLOCK]].astype(np.float64)
        if vocabulary.project_out is not None:
            block = block @ vocabulary.project_out.astype(np.float64)
        projections = np.empty((len(block), len(unembedding)))
        for start in range(0, len(unembedding), VOCABULARY_BLOCK):
            rows = slice(start, start + VOCABULARY_BLOCK)
            projections[:, rows] = block @ unembedding[rows].astype(np.float64).T
        if not np.isfinite(projections).all():
            raise errors.StoreError(
                "a projection on the vocabulary is not finite: fc2, project_out or the embedding holds NaN or infinity"
            )
        yield from projections


def lowest(values: np.ndarray, number: int) -> np.ndarray:
    """The indices of the lowest values, lowest first, ties by index."""
    number = min(number, len(values))
    limit = np.partition(values, number - 1)[number - 1]
    within = np.flatnonzero(values <= limit)
    return within[np.argsort(values[within], kind="stable")][:number]


def named(
    ids: np.ndarray, values: np.ndarray, vocabulary: Vocabulary
) -> list[Projection]:
    """The tokens of these ids with their projections. ids: int[N]; values: float64[V]."""
    return [
        Projection(id=i, text=vocabulary.piece(i), projection=float(values[i]))
        for i in ids.tolist()
    ]

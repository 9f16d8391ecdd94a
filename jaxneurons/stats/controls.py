"""What the suppression of triggers is compared with: other neurons and other tokens, drawn at random.

In: a layer's token detectors and how often every token occurs. Out: for each detector random tokens as frequent
as its triggers, and random neurons of the layer. A share of detectors that suppress their triggers says little
by itself: projections may be negative for most tokens, or for frequent ones.
"""

from collections.abc import Iterable

import numpy as np

# A matched token is one of the nearest by frequency, this many on either side.
NEAREST = 10


def random_neurons(
    alive: np.ndarray, detectors: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """As many alive neurons that are no token detectors as there are detectors, or all of them where there are fewer.

    alive: bool[F]; detectors: int64[N]. Returns int64[N] or fewer, distinct.
    """
    others = np.setdiff1d(np.flatnonzero(alive), detectors)
    size = min(len(detectors), len(others))
    return generator.choice(others, size=size, replace=False)


def random_tokens(
    triggers: Iterable[np.ndarray],
    occurrences: np.ndarray,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """For each detector's triggers as many distinct other tokens, each as frequent as one of them.

    The tokens of the corpus are ranked by occurrences, ties in random order; a trigger is replaced
    by a random one of the NEAREST ranks on either side (further away where these are taken). A
    detector gets fewer tokens than triggers only when the corpus has no more.

    Args:
        triggers: for each detector its token ids, int[tokens]; every one occurs.
        occurrences: int64[V], of each token in the corpus; 0 for special tokens.
    """
    shuffled = generator.permutation(np.flatnonzero(occurrences > 0))
    ranked = shuffled[np.argsort(occurrences[shuffled], kind="stable")]
    rank = np.zeros(len(occurrences), np.int64)
    rank[ranked] = np.arange(len(ranked))
    return [_matched(tokens, ranked, rank, generator) for tokens in triggers]


def _matched(
    triggers: np.ndarray,
    ranked: np.ndarray,
    rank: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """A token a trigger. ranked: int[R], tokens by frequency; rank: int[V], the inverse."""
    matched: list[int] = []
    taken = set(triggers.tolist())
    for trigger in triggers.tolist():
        width = NEAREST
        near: list[int] = []
        while not near and width < 2 * (len(ranked) + NEAREST):
            first = max(0, rank[trigger] - width)
            around = ranked[first : rank[trigger] + width + 1].tolist()
            near = [token for token in around if token not in taken]
            width *= 2
        if near:
            matched.append(near[generator.integers(len(near))])
            taken.add(matched[-1])
    return np.array(matched, np.int32)

"""How neurons spread by coverage (paper §4.1) and how layers share the detected n-grams out (§4.3).

In: every neuron's coverage and the detectors, layer by layer. Out: `summary["ngrams"][n]`, the numbers behind Figures 2-4
and 12-15.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxneurons import errors, terms
from jaxneurons.stats import detectors, thresholds

# The smallest coverage of each class; the detectors' limits of 5 and 50 are borders. The paper's
# own classes in Figure 2 are not given in its text.
COVERAGE_CLASSES = {
    "0": 0,
    "1-5": 1,
    "6-50": 6,
    "51-500": 51,
    "501-5000": 501,
    ">5000": 5001,
}


# A token id takes so many bits of an n-gram's code: three fit 63.
TOKEN_BITS = 21


def ensemble(
    found: Iterable[detectors.LayerDetectors],
    attested_occurrences: int = thresholds.Criteria.attested_occurrences,
) -> Iterator[dict[str, int | None]]:
    """How the layers share out the detected n-grams (Figures 3, 4, 14, 15): a row a layer.

    Args:
        found: of the layers analyzed, ascending; "below" means those of them that lie below.
        attested_occurrences: of a detector's triggers, from which on it is attested.

    Returns:
        `detectors`, their number, and `attested_detectors`, those attested; `ngrams`, the distinct triggers; of these, `new_overall`, detected
        in no layer below, and `new_against_previous`, not in the layer just below (None where that
        one was not analyzed); `cumulative`, the distinct triggers up to and with the layer.
    """
    previous = below = np.zeros(0, np.int64)
    next_layer = 0
    for layer in found:
        here = distinct_codes(layer.triggers.ngram)
        known = layer.layer == next_layer
        new = _number_new(here, below)
        below = np.union1d(below, here)
        yield {
            "detectors": len(layer.neuron),
            "attested_detectors": int(
                np.count_nonzero(layer.occurrences() >= attested_occurrences)
            ),
            "ngrams": len(here),
            "new_overall": new,
            "new_against_previous": _number_new(here, previous) if known else None,
            "cumulative": len(below),
        }
        previous, next_layer = here, layer.layer + 1


def distinct_codes(ngrams: np.ndarray) -> np.ndarray:
    """The distinct ones of n-grams int[N, n] as numbers, ascending: 8 bytes each, where sets of tuples take 200.

    Raises:
        StudyError: a token id has more than `TOKEN_BITS` bits.
    """
    if ngrams.max(initial=0) >> TOKEN_BITS:
        raise errors.StudyError(
            f"token {ngrams.max()} in an n-gram is not below {2**TOKEN_BITS}"
        )
    codes = np.zeros(len(ngrams), np.int64)
    for column in ngrams.T:
        codes = codes << TOKEN_BITS | column
    return np.unique(codes)


def _number_new(here: np.ndarray, known: np.ndarray) -> int:
    """How many of these codes, distinct as the known ones are, are not known."""
    return len(np.setdiff1d(here, known, assume_unique=True))


def coverage_classes(coverage: np.ndarray, alive: np.ndarray) -> list[int]:
    """Alive neurons in each of COVERAGE_CLASSES. coverage: int[F]; alive: bool[F]."""
    smallest = list(COVERAGE_CLASSES.values())
    index = np.searchsorted(smallest, coverage[alive], side="right") - 1
    return np.bincount(index, minlength=len(smallest)).tolist()


def summarize(
    *,
    n: int,
    model_layers: int,
    layers: Sequence[int],
    coverage: Iterable[np.ndarray],
    alive: Iterable[np.ndarray],
    found: Iterable[detectors.LayerDetectors],
    criteria: thresholds.Criteria,
) -> dict[str, Any]:
    """The numbers behind Figures 2-4 (n = 1) and 12-15, as plain JSON: `summary["ngrams"][str(n)]`.

    Args:
        model_layers: L; layers: the indices analyzed, ascending.
        coverage, alive, found: of each layer of `layers`, int[F], bool[F] (any activation) and its detectors.

    Returns:
        `coverage_classes` names the classes; `layers` has a row a layer: its index `layer`, `alive`,
        the `coverage_counts` and `coverage_shares` of alive neurons in each class (the shares are
        null where none is alive), and what `ensemble` says.
    """
    counts = map(coverage_classes, coverage, alive)
    shares = ensemble(found, criteria.attested_occurrences)
    return {
        "n": n,
        "model_layers": model_layers,
        "criteria": criteria.to_json(),
        "coverage_share": float(terms.COVERAGE_SHARE),
        "coverage_classes": list(COVERAGE_CLASSES),
        "layers": [
            {
                "layer": layer,
                "alive": sum(row),
                "coverage_counts": row,
                "coverage_shares": [c / sum(row) for c in row] if sum(row) else None,
                **shared,
            }
            for layer, row, shared in zip(layers, counts, shares, strict=True)
        ],
    }

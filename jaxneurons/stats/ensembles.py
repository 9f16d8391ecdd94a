"""How neurons spread by coverage (paper §4.1) and how layers share the detected n-grams out (§4.3).

In: every neuron's coverage and the detectors. Out: `summary["ngrams"][n]`, the numbers behind Figures 2-4
and 12-15.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

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


def ensemble(
    layers: Sequence[int], found: Iterable[detectors.Detector]
) -> list[dict[str, int | None]]:
    """How the layers share out the detected n-grams (Figures 3, 4, 14, 15): a row a layer.

    Args:
        layers: the layers analyzed, ascending; "below" means those of them that lie below.

    Returns:
        `detectors`, their number; `ngrams`, the distinct triggers; of these, `new_overall`, detected
        in no layer below, and `new_against_previous`, not in the layer just below (None where that
        one was not analyzed); `cumulative`, the distinct triggers up to and with the layer.
    """
    number = dict.fromkeys(layers, 0)
    detected: dict[int, set[tuple[int, ...]]] = {layer: set() for layer in layers}
    for detector in found:
        number[detector["layer"]] += 1
        ids = (tuple(trigger["ids"]) for trigger in detector["triggers"])
        detected[detector["layer"]].update(ids)
    below: set[tuple[int, ...]] = set()
    rows: list[dict[str, int | None]] = []
    for layer in layers:
        here = detected[layer]
        previous = set() if layer == 0 else detected.get(layer - 1)
        row = {
            "detectors": number[layer],
            "ngrams": len(here),
            "new_overall": len(here - below),
            "new_against_previous": None if previous is None else len(here - previous),
            "cumulative": len(below := below | here),
        }
        rows.append(row)
    return rows


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
    coverage: np.ndarray,
    alive: np.ndarray,
    found: Iterable[detectors.Detector],
    criteria: thresholds.Criteria,
    rule: thresholds.CandidateRule = thresholds.STORED,
) -> dict[str, Any]:
    """The numbers behind Figures 2-4 (n = 1) and 12-15, as plain JSON: `summary["ngrams"][str(n)]`.

    Args:
        model_layers: L; layers: the indices analyzed, ascending, A of them.
        coverage, alive: int[A, F] and bool[A, F], a row a layer of `layers`; alive: any activation.

    Returns:
        `coverage_classes` names the classes; `layers` has a row a layer: its index `layer`, `alive`,
        the `coverage_counts` and `coverage_shares` of alive neurons in each class (the shares are
        null where none is alive), and what `ensemble` says.
    """
    counts = [coverage_classes(*row) for row in zip(coverage, alive, strict=True)]
    return {
        "n": n,
        "model_layers": model_layers,
        "criteria": criteria.to_json(),
        "coverage_share": float(rule.coverage_share),
        "coverage_classes": list(COVERAGE_CLASSES),
        "layers": [
            {
                "layer": layer,
                "alive": sum(row),
                "coverage_counts": row,
                "coverage_shares": [c / sum(row) for c in row] if sum(row) else None,
                **shared,
            }
            for layer, row, shared in zip(
                layers, counts, ensemble(layers, found), strict=True
            )
        ],
    }

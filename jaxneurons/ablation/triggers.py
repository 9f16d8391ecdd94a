"""What token detectors do to their triggers: sums over occurrences in, changes by detector out.

A trigger is the token that stands at a position. All that is measured there is its own: the logit that the model
gives it as the next token, the rank of that logit, and the cosine of its unembedding with the residual stream.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# What is measured, and the sign of the change if the detector removed its trigger from the residual stream.
EXPECTED = {"logit": 1, "rank": -1, "cosine": 1}

# By layer and neuron, the tokens that trigger a detector.
Triggers = Mapping[tuple[int, int], Sequence[int]]


class Sums:
    """Sums over the occurrences of each trigger of some detectors.

    Attributes:
        layers: of the detectors, ascending; after each the cosine is measured.
        occurrences: int64[K], of each trigger.
    """

    def __init__(self, triggers: Triggers):
        self._triggers = triggers
        self._tokens = np.unique([token for ids in triggers.values() for token in ids])
        self.layers = sorted({layer for layer, _ in triggers})
        self.occurrences = np.zeros(len(self._tokens), np.int64)
        self._sums = {
            name: np.zeros(len(self._tokens))
            for name in ("logit", "rank", *map(_cosine, self.layers))
        }

    def add_predictions(
        self, tokens: np.ndarray, valid: np.ndarray, logit: np.ndarray, rank: np.ndarray
    ) -> None:
        """Adds a batch; tokens: int[B, T]; valid: bool[B, T]; logit, rank: of each token, [B, T]."""
        slot, chosen = self._find(tokens, valid)
        np.add.at(self.occurrences, slot, 1)
        np.add.at(self._sums["logit"], slot, logit[chosen])
        np.add.at(self._sums["rank"], slot, rank[chosen])

    def add_cosines(
        self, layer: int, tokens: np.ndarray, valid: np.ndarray, cosine: np.ndarray
    ) -> None:
        """Adds a batch of what is there after a layer; cosine: with each token's unembedding, [B, T]."""
        slot, chosen = self._find(tokens, valid)
        np.add.at(self._sums[_cosine(layer)], slot, cosine[chosen])

    def means(self) -> list[dict[str, Any]]:
        """Of each detector whose triggers occur the means over their occurrences, in the order of the detectors."""
        found = []
        for (layer, neuron), ids in sorted(self._triggers.items()):
            slots = np.searchsorted(self._tokens, np.unique(ids))
            occurrences = int(self.occurrences[slots].sum())
            if occurrences:
                sums = {**self._sums, "cosine": self._sums[_cosine(layer)]}
                means = {
                    name: float(sums[name][slots].sum() / occurrences)
                    for name in EXPECTED
                }
                place = {"layer": layer, "neuron": neuron, "occurrences": occurrences}
                found.append(place | means)
        return found

    def _find(
        self, tokens: np.ndarray, valid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which trigger stands where one does, int[N], and where that is, bool[B, T]."""
        chosen = np.isin(tokens, self._tokens) & valid
        return np.searchsorted(self._tokens, tokens[chosen]), chosen


def _cosine(layer: int) -> str:
    return f"cosine after layer {layer}"


def effects(base: Sums, ablated: Sums, controls: Sequence[Sums]) -> dict[str, Any]:
    """What ablating did to the triggers of detectors, and what ablating each of the controls did to the same.

    Every number is a change from the base, averaged over occurrences and then over detectors; `expected_share` is
    the share of detectors whose change has the sign of `EXPECTED`. Where no trigger occurs there are only the numbers of
    detectors and occurrences, both 0, and nothing where there are no detectors.
    """
    before = base.means()
    if not before:
        return {"detectors": 0, "occurrences": 0} if base.layers else {}
    changes = _changes(before, ablated)
    return {
        "detectors": len(before),
        "occurrences": sum(each["occurrences"] for each in before),
        "ablated": _summary(changes),
        "controls": [_summary(_changes(before, control)) for control in controls],
        "by_detector": changes,
    }


def _changes(before: list[dict[str, Any]], after: Sums) -> list[dict[str, Any]]:
    pairs = zip(before, after.means(), strict=True)
    return [
        was | {name: now[name] - was[name] for name in EXPECTED} for was, now in pairs
    ]


def _summary(changes: list[dict[str, Any]]) -> dict[str, Any]:
    by_name = {name: np.array([one[name] for one in changes]) for name in EXPECTED}
    return {name: float(found.mean()) for name, found in by_name.items()} | {
        "expected_share": {
            name: float((np.sign(found) == EXPECTED[name]).mean())
            for name, found in by_name.items()
        }
    }

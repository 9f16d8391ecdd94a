"""Which neurons detect n-grams (paper §4.2, Appendix A.2).

In: what is stored of a layer for one n: every neuron's coverage, its activations on n-gram occurrences and
its candidates (the pairs of neuron and n-gram with activations > 0). Out: the layer's detectors as arrays, and of
these a record a detector, the lines of `detectors_{n}.jsonl`, one at a time: in little text nearly every neuron is
a detector. It exists apart from the counting so that other thresholds need neither model nor text.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, TypedDict

import numpy as np

from jaxneurons import terms
from jaxneurons.stats import thresholds


class Candidates(NamedTuple):
    """Pairs of a neuron and an n-gram that activates it, in any order.

    neuron, activations, occurrences: int[C]; ngram: int[C, n], token ids. `occurrences` counts the
    n-gram in the text, `activations` those of them on which the neuron is active, always > 0.
    """

    neuron: np.ndarray
    ngram: np.ndarray
    activations: np.ndarray
    occurrences: np.ndarray


class LayerCounts(NamedTuple):
    """What is stored of one layer for one n. coverage, ngram_activation_count: int[F].

    The candidates come in blocks, at least one, neurons ascending and each neuron's in one block.
    """

    layer: int
    coverage: np.ndarray
    ngram_activation_count: np.ndarray
    candidates: Iterable[Candidates]


class LayerDetectors(NamedTuple):
    """The n-gram detectors of a layer, ascending. neuron, coverage: int[N].

    triggers: of all of them, by neuron, then by activations, most first, then by ids.
    """

    layer: int
    neuron: np.ndarray
    coverage: np.ndarray
    triggers: Candidates

    def trigger_ends(self) -> np.ndarray:
        """Where the triggers of each detector end, int64[N]."""
        return np.searchsorted(self.triggers.neuron, self.neuron, side="right")

    def occurrences(self) -> np.ndarray:
        """How often the triggers of each detector occur, all together, int64[N]."""
        running = np.cumsum(self.triggers.occurrences, dtype=np.int64)
        return np.diff(running[self.trigger_ends() - 1], prepend=0)


class Trigger(TypedDict):
    """An n-gram that a detector detects; `text` joins its vocabulary pieces."""

    ids: list[int]
    text: str
    activations: int
    occurrences: int


class Detector(TypedDict):
    """A line of `detectors_{n}.jsonl`; triggers by activations, most first, then by ids."""

    layer: int
    neuron: int
    coverage: int
    triggers: list[Trigger]


def find_detectors(
    counts: LayerCounts,
    criteria: thresholds.Criteria,
    rule: thresholds.CandidateRule = thresholds.STORED,
) -> LayerDetectors:
    """The layer's n-gram detectors, where n is the width of the candidates' n-grams.

    A detector has (1) coverage from 1 to the criteria's limit; and (3) at least `coverage_share` of
    its activations on (2) its triggers: all n-grams seen `min_occurrences` times on which it is
    active at least `trigger_share` of the time. A neuron that no n-gram activates has no
    candidates, and is none.

    Args:
        rule: how the candidates were chosen.

    Raises:
        UsageError: the candidates cannot answer the criteria.
    """
    found = [_find_in_block(counts, b, criteria, rule) for b in counts.candidates]
    neuron, coverage, triggers = zip(*found, strict=True)
    columns = map(np.concatenate, zip(*triggers, strict=True))
    return LayerDetectors(
        counts.layer,
        np.concatenate(neuron),
        np.concatenate(coverage),
        Candidates(*columns),
    )


def make_records(
    found: LayerDetectors, piece: Callable[[int], str]
) -> Iterator[Detector]:
    """A record of each detector.

    Args:
        piece: token id -> its vocabulary piece, such as "Ġtitle".
    """
    first = 0
    columns = (found.neuron, found.coverage, found.trigger_ends())
    for neuron, coverage, last in zip(*(c.tolist() for c in columns), strict=True):
        triggers = Candidates(*(column[first:last] for column in found.triggers))
        yield Detector(
            layer=found.layer,
            neuron=neuron,
            coverage=coverage,
            triggers=_triggers(triggers, piece),
        )
        first = last


def _triggers(own: Candidates, piece: Callable[[int], str]) -> list[Trigger]:
    """A neuron's triggers as records."""
    columns = (own.ngram, own.activations, own.occurrences)
    return [
        Trigger(
            ids=ids,
            text="".join(map(piece, ids)),
            activations=activations,
            occurrences=occurrences,
        )
        for ids, activations, occurrences in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _find_in_block(
    counts: LayerCounts,
    candidates: Candidates,
    criteria: thresholds.Criteria,
    rule: thresholds.CandidateRule,
) -> tuple[np.ndarray, np.ndarray, Candidates]:
    """Those of a block of candidates, as the fields of `LayerDetectors`."""
    n = candidates.ngram.shape[1]
    most = criteria.most(n)
    thresholds.refuse_unanswerable(criteria, n, rule)
    activations = candidates.activations.astype(np.int64)
    occurrences = candidates.occurrences.astype(np.int64)
    is_trigger = _reaches(activations, occurrences, criteria.trigger_share)
    is_trigger &= occurrences >= criteria.min_occurrences
    total = counts.ngram_activation_count.astype(np.int64)
    accounted = np.zeros_like(total)
    np.add.at(accounted, candidates.neuron[is_trigger], activations[is_trigger])
    coverage = counts.coverage
    detects = _reaches(accounted, total, criteria.coverage_share)
    if criteria.coverage_share != terms.COVERAGE_SHARE:
        coverage = _coverage(candidates, total, detects, criteria.coverage_share)
    detects &= coverage <= most
    is_trigger &= detects[candidates.neuron]
    triggers = _sorted(Candidates(*(column[is_trigger] for column in candidates)))
    neuron = np.unique(triggers.neuron)
    return neuron, coverage[neuron], triggers


def _reaches(part: np.ndarray, whole: np.ndarray, share: Fraction) -> np.ndarray:
    """Whether part / whole >= share, in integers."""
    return part * share.denominator >= whole * share.numerator


def _coverage(
    candidates: Candidates, total: np.ndarray, wanted: np.ndarray, share: Fraction
) -> np.ndarray:
    """The coverage of the wanted neurons at another share; 0 for the others.

    total: int64[F], activations on n-gram occurrences; wanted: bool[F].
    """
    of_wanted = wanted[candidates.neuron]
    neuron = candidates.neuron[of_wanted]
    activations = candidates.activations[of_wanted].astype(np.int64)
    order = np.lexsort((-activations, neuron))
    neuron, activations = neuron[order], activations[order]
    running = np.cumsum(activations)
    first = np.searchsorted(neuron, neuron)
    running -= running[first] - activations[first]
    # Every n-gram before the one that reaches the share, and that one.
    short = ~_reaches(running, total[neuron], share)
    return np.bincount(neuron[short], minlength=len(total)) + wanted


def _sorted(triggers: Candidates) -> Candidates:
    """In the order of `LayerDetectors`."""
    ids = triggers.ngram.T[::-1]
    order = np.lexsort((*ids, -triggers.activations, triggers.neuron))
    return Candidates(*(column[order] for column in triggers))

"""Which neurons detect n-grams (paper §4.2, Appendix A.2).

In: what is stored of a layer for one n: every neuron's coverage, its activations on n-gram occurrences and
its candidates (the pairs of neuron and n-gram with activations > 0). Out: a record a detector, the lines of
`detectors_{n}.jsonl`. It exists apart from the counting so that other thresholds need neither model nor text.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple, TypedDict

import numpy as np

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
    """What is stored of one layer for one n. coverage, ngram_activation_count: int[F]."""

    layer: int
    coverage: np.ndarray
    ngram_activation_count: np.ndarray
    candidates: Candidates


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
    piece: Callable[[int], str],
    rule: thresholds.CandidateRule = thresholds.STORED,
) -> list[Detector]:
    """The layer's n-gram detectors by neuron, where n is the width of the candidates' n-grams.

    A detector has (1) coverage from 1 to the criteria's limit; and (3) at least `coverage_share` of
    its activations on (2) its triggers: all n-grams seen `min_occurrences` times on which it is
    active at least `trigger_share` of the time. A neuron that no n-gram activates has no
    candidates, and is none.

    Args:
        piece: token id -> its vocabulary piece, such as "Ġtitle".
        rule: how the candidates were chosen.

    Raises:
        UsageError: the candidates cannot answer the criteria.
    """
    candidates = Candidates(
        *(np.asarray(column, np.int64) for column in counts.candidates)
    )
    n = candidates.ngram.shape[1]
    most = criteria.most(n)
    thresholds.refuse_unanswerable(criteria, n, rule)
    is_trigger = _reaches(
        candidates.activations, candidates.occurrences, criteria.trigger_share
    )
    is_trigger &= candidates.occurrences >= criteria.min_occurrences
    triggers = Candidates(*(column[is_trigger] for column in candidates))
    total = counts.ngram_activation_count.astype(np.int64)
    accounted = np.zeros_like(total)
    np.add.at(accounted, triggers.neuron, triggers.activations)
    coverage = counts.coverage
    detects = (coverage <= most) & _reaches(accounted, total, criteria.coverage_share)
    if criteria.coverage_share != rule.coverage_share:
        coverage = _coverage(candidates, total, detects, criteria.coverage_share)
        detects &= coverage <= most
    triggers = Candidates(*(column[detects[triggers.neuron]] for column in triggers))
    return _records(counts.layer, coverage, triggers, piece)


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
    activations = candidates.activations[of_wanted]
    order = np.lexsort((-activations, neuron))
    neuron, activations = neuron[order], activations[order]
    running = np.cumsum(activations)
    first = np.searchsorted(neuron, neuron)
    running -= running[first] - activations[first]
    # Every n-gram before the one that reaches the share, and that one.
    short = ~_reaches(running, total[neuron], share)
    return np.bincount(neuron[short], minlength=len(total)) + wanted


def _records(
    layer: int, coverage: np.ndarray, triggers: Candidates, piece: Callable[[int], str]
) -> list[Detector]:
    order = np.lexsort(
        (*triggers.ngram.T[::-1], -triggers.activations, triggers.neuron)
    )
    columns = (column[order].tolist() for column in triggers)
    records: list[Detector] = []
    for neuron, ids, activations, occurrences in zip(*columns, strict=True):
        if not records or records[-1]["neuron"] != neuron:
            records.append(
                Detector(
                    layer=layer,
                    neuron=neuron,
                    coverage=int(coverage[neuron]),
                    triggers=[],
                )
            )
        records[-1]["triggers"].append(
            Trigger(
                ids=ids,
                text="".join(piece(token) for token in ids),
                activations=activations,
                occurrences=occurrences,
            )
        )
    return records

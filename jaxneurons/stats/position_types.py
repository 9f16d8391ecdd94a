"""The shape of a positional neuron's pattern (paper §5.2, Figures 7 and 9).

In: how many windows one neuron fired in at each position. Out: its type, whether the
pattern is strong or weak, the ranges of positions that it indicates, and what the
ranges of a layer's neurons cover together.

A position is its 0-based index in the window. Position 0 always holds the same token,
so it says nothing of the pattern and is left out here. A range is [first, last], both in it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxneurons import errors, terms

TYPES = terms.POSITIONAL_TYPES
STRENGTHS = terms.STRENGTHS
Ranges = list[list[int]]
# Differences of shares are rounded here, so that 0.35 − 0.1 is 0.25 and no less.
DECIMALS = 12


@dataclasses.dataclass(frozen=True)
class PositionCriteria:
    """Every threshold that decides which neurons are positional, and of what type.

    Attributes:
        information_threshold: a neuron with more nats, all domains pooled, is positional.
        reliable_windows: with fewer full windows the bias of the information is reported.
        smoothing_divisor: a pattern is averaged over T // this many positions, or 1.
        run_divisor: an extreme counts from T / this many consecutive positions, rounded up.
        tolerance, strong_tolerance: how near 0 or 1 is reached, for a type and a strong one.
        low_level, high_level: share of the pattern's range up to / from which it is low / high.
        minimum_range: a pattern that varies by less does not switch between low and high.
        least_switches: from so many changes between low and high a neuron is oscillatory.
        thin_rms: a neuron of type other that strays less from its average is strong.
        range_level: the average from which a position is in a range of the neuron.
    """

    information_threshold: float = 0.05
    reliable_windows: int = 200
    smoothing_divisor: int = 128
    run_divisor: int = 64
    tolerance: float = 0.1
    strong_tolerance: float = 0.01
    low_level: float = 0.25
    high_level: float = 0.75
    minimum_range: float = 0.25
    least_switches: int = 3
    thin_rms: float = 0.02
    range_level: float = 0.5

    def __post_init__(self) -> None:
        """Refuses thresholds that contradict each other, all in one error."""
        wanted = {
            "smoothing_divisor >= 1": self.smoothing_divisor >= 1,
            "run_divisor >= 1": self.run_divisor >= 1,
            "0 <= strong_tolerance <= tolerance < 0.5": (
                0 <= self.strong_tolerance <= self.tolerance < 0.5
            ),
            "0 <= low_level < high_level <= 1": (
                0 <= self.low_level < self.high_level <= 1
            ),
            "0 < minimum_range <= 1": 0 < self.minimum_range <= 1,
            "0 <= information_threshold < 1": 0 <= self.information_threshold < 1,
            "reliable_windows >= 0": self.reliable_windows >= 0,
            "least_switches >= 1": self.least_switches >= 1,
            "0 <= thin_rms <= 1": 0 <= self.thin_rms <= 1,
            "0 < range_level <= 1": 0 < self.range_level <= 1,
        }
        broken = [rule for rule, holds in wanted.items() if not holds]
        if broken:
            given = ", ".join(f"{k}={v}" for k, v in vars(self).items())
            raise errors.UsageError(
                f"position criteria {given} do not go together. Choose them so that {' and '.join(broken)}."
            )


def smooth(count: np.ndarray, windows: int, width: int) -> np.ndarray:
    """Averages the frequency over `width` positions around each one but position 0.

    The average at p runs from p − (width−1)//2 to p + width//2, so an even width takes
    one position more from the right; near the ends, over the part of it that exists.

    Args:
        count: int[T], windows in which the neuron is active at the position.
        windows: windows counted.

    Returns:
        float64[T-1]: item i belongs to position i + 1.
    """
    kept = count[1:]
    total = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    place = np.arange(len(kept))
    first = np.maximum(place - (width - 1) // 2, 0)
    stop = np.minimum(place + width // 2 + 1, len(kept))
    return (total[stop] - total[first]) / ((stop - first) * windows)


def classify(
    count: np.ndarray, windows: int, criteria: PositionCriteria
) -> tuple[str, str]:
    """Names the type and the strength of one neuron's pattern, count int[T].

    Where T is below twice the smoothing divisor nothing is averaged, and a neuron of
    type other is always strong: a pattern does not stray from itself.
    """
    smoothed = _smoothed(count, windows, criteria)
    run = -(-len(count) // criteria.run_divisor)
    reached = _extremes(smoothed, run, criteria.tolerance)
    strong_reached = _extremes(smoothed, run, criteria.strong_tolerance)
    if count_switches(smoothed, criteria) >= criteria.least_switches:
        return "oscillatory", _strength(len(strong_reached) == 2)
    if len(reached) == 2:
        return "both", _strength(len(strong_reached) == 2)
    if len(reached) == 1:
        return "one", _strength(reached == strong_reached)
    strayed = np.sqrt(np.mean((count[1:] / windows - smoothed) ** 2))
    return "other", _strength(bool(strayed < criteria.thin_rms))


def count_switches(smoothed: np.ndarray, criteria: PositionCriteria) -> int:
    """Counts the changes between low and high, places in between changing nothing."""
    lowest, span = smoothed.min(), np.ptp(smoothed)
    if round(span, DECIMALS) < criteria.minimum_range:
        return 0
    level = np.round((smoothed - lowest) / span, DECIMALS)
    decided = level[(level <= criteria.low_level) | (level >= criteria.high_level)]
    return int(np.count_nonzero(np.diff(decided >= criteria.high_level)))


def indicated_ranges(
    count: np.ndarray, windows: int, criteria: PositionCriteria
) -> Ranges:
    """Lists the maximal ranges of positions at which the neuron, count int[T], is on."""
    smoothed = _smoothed(count, windows, criteria)
    return _positions(find_runs(smoothed >= criteria.range_level))


def cover(ranges: Sequence[Ranges], positions: int) -> tuple[Ranges, float, list[bool]]:
    """Joins the ranges of several neurons.

    Returns:
        The union's ranges; the share of all positions but position 0 that it covers;
        and of each neuron whether the others cover all of its ranges without it.
    """
    member = np.zeros((len(ranges), positions - 1), bool)
    for row, neuron in zip(member, ranges, strict=True):
        for first, last in neuron:
            row[first - 1 : last] = True
    neurons_at = member.sum(axis=0)
    redundant = ~np.any(member & (neurons_at == 1), axis=1)
    union = _positions(find_runs(neurons_at > 0))
    covered = np.count_nonzero(neurons_at) / max(positions - 1, 1)
    return union, covered, redundant.tolist()


def find_runs(mask: np.ndarray) -> np.ndarray:
    """Finds the maximal runs of True in bool[N]; int64[runs, 2], first and last index."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1], 1)


def _smoothed(
    count: np.ndarray, windows: int, criteria: PositionCriteria
) -> np.ndarray:
    width = max(1, len(count) // criteria.smoothing_divisor)
    return smooth(count, windows, width)


def _extremes(smoothed: np.ndarray, run: int, tolerance: float) -> frozenset[int]:
    """Which of 0 and 1 the pattern stays at, within the tolerance, for a whole run.

    A quotient of integers is rounded as the decimal threshold is, so "equal" is seen.
    """
    near = {0: smoothed <= tolerance, 1: smoothed >= 1 - tolerance}
    return frozenset(
        extreme
        for extreme, mask in near.items()
        if np.count_nonzero(mask) >= run and np.any(np.diff(find_runs(mask)) + 1 >= run)
    )


def _strength(strong: bool) -> str:
    return STRENGTHS[0] if strong else STRENGTHS[1]


def _positions(runs: np.ndarray) -> Ranges:
    """Indices that begin at position 1, as positions."""
    return (runs + 1).tolist()

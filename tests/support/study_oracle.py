"""What a study must hold, from tokens and masks by the definitions alone: a dictionary or a loop for each number."""

import collections
import itertools
import math
from typing import NamedTuple

SPECIAL = (1, 2)


class Occurrences(NamedTuple):
    """Every occurrence of an n-gram: its window, the position of its last token, and the n-gram."""

    windows: list[int]
    positions: list[int]
    ngrams: list[tuple[int, ...]]

    def activations(self, active):
        """How often a neuron, active bool[W, T], fires on each n-gram."""
        fires = active[self.windows, self.positions]
        return collections.Counter(itertools.compress(self.ngrams, fires))


def find_ngrams(tokens, lengths, n):
    """All occurrences in windows int32[W, T] of these lengths."""
    found = Occurrences([], [], [])
    for window, (row, length) in enumerate(zip(tokens, lengths, strict=True)):
        text = row[:length].tolist()
        for last in range(n - 1, length):
            ngram = tuple(text[last - n + 1 : last + 1])
            if not set(ngram) & set(SPECIAL):
                for column, value in zip(found, (window, last, ngram), strict=True):
                    column.append(value)
    return found


def covering(activations):
    """The fewest n-grams that hold 95 % of the activations."""
    needed, number, reached = 95 * activations.total(), 0, 0
    for count in sorted(activations.values(), reverse=True):
        if 100 * reached >= needed:
            break
        reached += count
        number += 1
    return number


def triggers(occurrences, activations):
    """The triggers of a neuron with their activations and occurrences; {} of one that is no detector."""
    n = len(next(iter(activations), ()))
    chosen = {
        ngram: (count, occurrences[ngram])
        for ngram, count in activations.items()
        if 100 * count >= 95 * occurrences[ngram]
    }
    held = sum(count for count, _ in chosen.values())
    covered = covering(activations) <= (5 if n == 1 else 50)
    return chosen if covered and 100 * held >= 95 * activations.total() else {}


def mutual_information(count, windows):
    """Between position and firing, from the joint distribution; count: a number for each position."""
    positions = len(count)
    total = sum(count)
    information = 0.0
    for at_position in count:
        for here, everywhere in (
            (at_position, total),
            (windows - at_position, windows * positions - total),
        ):
            if here:
                joint = here / (windows * positions)
                independent = everywhere / (windows * positions) / positions
                information += joint * math.log(joint / independent)
    return information

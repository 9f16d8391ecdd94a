"""N-gram coverage and candidates from a dictionary per neuron, one token at a time: what the fast code must equal."""

import collections

import numpy as np


def brute_force(
    tokens, lengths, active, special, share, most_candidates, candidate_share=None
):
    """Coverage and activations int[3, F]; for each n, candidates as (neuron, ngram, activations, occurrences)."""
    windows, _, neurons = active.shape
    arrays = {"ngram_coverage": [], "ngram_activation_count": []}
    for n in (1, 2, 3):
        occurrences = collections.Counter()
        activations = [collections.Counter() for _ in range(neurons)]
        for window in range(windows):
            text = [int(token) for token in tokens[window, : lengths[window]]]
            for last in range(n - 1, len(text)):
                ngram = tuple(text[last - n + 1 : last + 1])
                if set(ngram) & set(special):
                    continue
                occurrences[ngram] += 1
                for neuron in np.flatnonzero(active[window, last]):
                    activations[neuron][ngram] += 1
        coverage = [covering(counts, share) for counts in activations]
        arrays["ngram_coverage"].append(coverage)
        arrays["ngram_activation_count"].append([c.total() for c in activations])
        chosen = [covering(counts, candidate_share or share) for counts in activations]
        arrays[f"candidate_{n}"] = [
            (neuron, ngram, activations[neuron][ngram], occurrences[ngram])
            for neuron in range(neurons)
            if 0 < chosen[neuron] <= most_candidates
            for ngram in sorted(activations[neuron])
        ]
    return arrays


def covering(counts, share):
    """The fewest n-grams that hold `share` of all activations in `counts`."""
    reached = number = 0
    for count in sorted(counts.values(), reverse=True):
        if reached * share.denominator >= share.numerator * counts.total():
            break
        reached += count
        number += 1
    return number

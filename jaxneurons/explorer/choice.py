"""Which neurons a page shows in full: all of them, or in a large model those that readers look for."""

from collections.abc import Mapping

import numpy as np

# Neurons that a page shows in full.
MOST = 200_000
# Of each column the neurons with its highest values, and of each layer neurons at random.
TOPS = 16
RANDOM = 64


def choose(layer: int, columns: Mapping[str, np.ndarray], most: int) -> np.ndarray:
    """The neurons of a layer to show in full, ascending.

    Those at the top of a column come first, then some at random, positional neurons by their mutual
    information, and detectors by their activations, as many as there is room for.

    Args:
        layer: the layer.
        columns: as `layer_columns.read` gives them.
        most: how many there is room for.
    """
    activations = columns["activations"].sum(axis=0)
    neurons = len(activations)
    if neurons <= most:
        return np.arange(neurons)
    information = columns["mutual_information"]
    tops = [activations, information, -columns["domain_entropy"], *columns["detector"]]
    random = np.random.default_rng(layer).permutation(neurons)[:RANDOM]
    positional = np.flatnonzero(columns["positional_type"])
    detectors = np.flatnonzero((columns["detector"] > 0).any(axis=0))
    ordered = np.concatenate(
        [
            *(_descending(values)[:TOPS] for values in tops),
            random,
            positional[_descending(information[positional])],
            detectors[_descending(activations[detectors])],
        ]
    )
    first = np.unique(ordered, return_index=True)[1]
    return np.sort(ordered[np.sort(first)][:most])


def _descending(values: np.ndarray) -> np.ndarray:
    """Places of the values, the highest first, NaN last, ties by place."""
    return np.argsort(-values.astype(np.float64), kind="stable")

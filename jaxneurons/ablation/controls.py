"""Matched controls: neurons of the same layers that fire as often, drawn at random."""

from collections.abc import Mapping

import numpy as np

DECILES = 10


def draw(
    neurons: np.ndarray,
    activation_count: Mapping[int, np.ndarray],
    generator: np.random.Generator,
) -> np.ndarray:
    """As many other neurons of the same layers, distinct and alive.

    Each neuron that is alive is replaced by a random one of the same decile of activation frequency among the alive
    of its layer, or of the nearest decile that has one left; each that is dead by any alive one. Of a layer that
    has too few others all of them are taken.

    Args:
        neurons: int[N, 2], layer and neuron of each.
        activation_count: int[F], by layer.

    Returns:
        int64[N, 2] or fewer, ascending.
    """
    drawn = [
        (layer, neuron)
        for layer in np.unique(neurons[:, 0]).tolist()
        for neuron in _draw_layer(
            neurons[neurons[:, 0] == layer, 1], activation_count[layer], generator
        )
    ]
    return np.array(sorted(drawn), np.int64).reshape(-1, 2)


def _draw_layer(
    chosen: np.ndarray, count: np.ndarray, generator: np.random.Generator
) -> list[int]:
    alive = np.flatnonzero(count > 0)
    others = generator.permutation(np.setdiff1d(alive, chosen))
    decile = deciles(count)
    pools = [others[decile[others] == d].tolist() for d in range(DECILES)]
    drawn = []
    # The dead last: they take what is left.
    for neuron in sorted(chosen.tolist(), key=lambda neuron: count[neuron] == 0):
        left = [d for d in range(DECILES) if pools[d]]
        if not left:
            break
        if count[neuron] == 0:
            sizes = np.array([len(pools[d]) for d in left])
            nearest = int(generator.choice(left, p=sizes / sizes.sum()))
        else:
            nearest = min(left, key=lambda d: abs(d - decile[neuron]))
        drawn.append(pools[nearest].pop())
    return drawn


def deciles(count: np.ndarray) -> np.ndarray:
    """The decile of each alive neuron of a layer by its activations, 0 to 9; -1 of the dead. count: int[F]."""
    alive = np.sort(count[count > 0])
    # Neurons that fire equally often are of one decile.
    rank = np.searchsorted(alive, count)
    return np.where(count > 0, rank * DECILES // max(1, len(alive)), -1)

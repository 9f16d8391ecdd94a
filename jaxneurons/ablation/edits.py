"""Neurons are taken out of a model by editing parameters: (layer, neuron) pairs in, an edit for the loop out.

Only the second matrix of the feed-forward network changes, so that every neuron still fires as it did, but what
it writes is nothing, or always the same.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons.stream.step import Parameters

MODES = ("zero", "mean")

# From a layer and its parameters to those that run in their place, as `loop.run_layers` calls it.
Edit = Callable[[int, Parameters], Parameters]


def unchanged(layer: int, params: Parameters) -> Parameters:
    """The edit that changes nothing."""
    del layer
    return params


def ablating(
    neurons: np.ndarray, means: Mapping[int, np.ndarray] | None = None
) -> Edit:
    """The edit that takes neurons out.

    >>> params = {"feed_forward": {"fc2": {"kernel": jnp.ones((3, 2))}}}
    >>> edited = ablating(np.array([[5, 1]]))(5, params)
    >>> edited["feed_forward"]["fc2"]["kernel"].tolist()
    [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]

    Args:
        neurons: int[N, 2], layer and neuron of each.
        means: float32[F] by layer: each neuron writes this value times its row at every position, by
            way of the bias; None lets it write nothing.
    """
    layers = {layer: neurons[neurons[:, 0] == layer, 1] for layer in set(neurons[:, 0])}

    def edit(layer: int, params: Parameters) -> Parameters:
        if layer not in layers:
            return params
        network = params["feed_forward"]
        removed = np.zeros(len(network["fc2"]["kernel"]), bool)
        removed[layers[layer]] = True
        mean = None if means is None else means[layer].astype(np.float32)
        changed = network["fc2"] | _without(network["fc2"], removed, mean)
        return params | {"feed_forward": network | {"fc2": changed}}

    return edit


@jax.jit
def _without(fc2: Parameters, removed: jax.Array, mean: jax.Array | None) -> Parameters:
    """What changes of fc2: kernel [F, D] and, with means float32[F], bias [D]. removed: bool[F]."""
    kernel = fc2["kernel"]
    changed = {
        "kernel": jnp.where(removed[:, None], jnp.zeros((), kernel.dtype), kernel)
    }
    if mean is not None:
        written = jnp.einsum(
            "f,fd->d",
            jnp.where(removed, mean, jnp.zeros((), mean.dtype)),
            kernel.astype(jnp.float32),
            precision="highest",
        )
        bias = fc2["bias"]
        changed["bias"] = (bias.astype(jnp.float32) + written).astype(bias.dtype)
    return changed

"""How often each neuron of a layer fires and how strongly, as a `Reduction`: what controls and means are taken from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons.counting.reductions import Batch, Reduction, State, active


# Kept, so that JAX compiles the step once for all ablations of a model.
@functools.cache
def activity(parts: int, windows_per_part: int, neurons: int) -> Reduction:
    """Counts activations and adds values up, over every token that is not padding.

    Gives `activation_count`, int64[F], and `activation_sum`, float64[F]. Each device's part of a batch has a sum of
    its own, so that the same sums are added in the same order on any number of devices.

    Args:
        parts: of the text that runs at a time, those included that only fill up.
        windows_per_part: B.
        neurons: F.
    """

    def init() -> State:
        return jnp.zeros(neurons, jnp.int32), jnp.zeros((parts, neurons), jnp.float32)

    def update(state: State, activation: jax.Array, batch: Batch) -> State:
        count, total = state
        counted = batch.valid[:, :, None]
        fires = active(activation) & counted
        values = jnp.where(counted, activation, jnp.zeros((), activation.dtype))
        part = batch.first_window // windows_per_part % parts
        summed = jnp.sum(values, axis=(0, 1), dtype=jnp.float32)
        return (
            count + jnp.sum(fires, axis=(0, 1), dtype=jnp.int32),
            total.at[part].add(summed),
        )

    def finalize(state: State) -> dict[str, np.ndarray]:
        count, total = map(np.asarray, state)
        return {
            "activation_count": count.astype(np.int64),
            "activation_sum": total.sum(axis=0, dtype=np.float64),
        }

    return Reduction(init, update, finalize)

"""One layer's step: parameters, residual stream and counts in; the next residual stream and counts out.

The parameters are arguments, so that one executable serves all layers. JAX compiles it once for what
counts, and once without counting for the layers below the first that is asked for.
"""

import functools
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxneurons import devices
from jaxneurons.counting.reductions import Batch, Init, State, Update
from jaxneurons.model import block

Parameters = dict[str, Any]


@functools.partial(
    jax.jit,
    static_argnames=("layer", "update", "mesh"),
    donate_argnames=("x", "states"),
)
def step(
    layer: block.Block,
    update: Update,
    mesh: Mesh,
    params: Parameters,
    x: jax.Array,
    states: State,
    batch: Batch,
) -> tuple[jax.Array, State, jax.Array]:
    """Applies a layer to a batch of B windows on each of N devices, and counts.

    Args:
        layer: the model's block.
        update: of the reduction that counts.
        mesh: the devices.
        params: of the layer, on every device, in the type to compute in.
        x: float[N * B, T, D], the residual stream before the layer; donated.
        states: of the reduction, as `init_states` makes them; donated.
        batch: what the windows are, as `loop.make_batches` makes it.

    Returns:
        x after the layer; the next states; bool[N], whether x is finite on all text of a device's windows:
        NaN is not above 0 and would pass for a neuron at rest.
    """

    def on_device(
        params: Parameters, x: jax.Array, states: State, batch: Batch
    ) -> tuple[jax.Array, State, jax.Array]:
        state = jax.tree.map(lambda leaf: leaf[0], states)
        batch = batch._replace(first_window=batch.first_window[0])
        applied = layer.apply({"params": params}, x)
        x, activation = cast(tuple[jax.Array, jax.Array], applied)
        chex.assert_shape(activation, (*x.shape[:2], layer.config.ffn_dim))
        finite = jnp.all(jnp.isfinite(x) | ~batch.valid[:, :, None])
        # Whoever counts reads what the product has written: on a GPU bias and ReLU stay part of it.
        state = update(state, jax.lax.optimization_barrier(activation), batch)
        return x, jax.tree.map(lambda leaf: leaf[None], state), finite[None]

    part = PartitionSpec(devices.AXIS)
    mapped = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), part, part, part),
        out_specs=part,
        # Nothing here is equal on all devices, and a reduction's loops should not have to say so.
        check_vma=False,
    )
    return mapped(params, x, states, batch)


@functools.partial(jax.jit, static_argnames=("init", "mesh"))
def init_states(init: Init, mesh: Mesh) -> State:
    """A state for each of N devices: arrays [N, ...], each device with its own."""
    states = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (mesh.size, *leaf.shape)),
        init(),
    )
    return jax.lax.with_sharding_constraint(states, devices.sharded(mesh))

"""One layer's step as an executable: params, residual stream and counts in; the next residual stream and counts out.

Weights are its arguments, so that one executable serves all layers that need the same of it. What no statistic needs
is left out by further ones, where that saves more than they take to compile: counting below the first layer asked for, and
the second feed-forward product of the last.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from jaxneurons import devices
from jaxneurons.config import Config
from jaxneurons.counting.reductions import Batch, Reduction, State
from jaxneurons.model import block

Parameters = dict[str, Any]
Step = jax.stages.Compiled
# From so many operations saved on, another executable is compiled: about the second that compiling
# takes on a CPU.
LEAST_SAVED = 2e11
# Counting everything takes this share of the time of a layer's products (BUILD.md, "Performance notes").
COUNTING_SHARE = 0.1


class Kind(NamedTuple):
    """What a layer's executable computes.

    Attributes:
        counts: whether it counts, or has an empty state.
        goes_on: whether it gives the residual stream after the layer.
    """

    counts: bool = True
    goes_on: bool = True


def kinds(
    config: Config, batches: Sequence[Batch], first_counted: int, last: int
) -> list[Kind]:
    """The kind of every layer from 0 to the last that runs, the same wherever a resumed run begins."""
    # Of the text alone: what fills the last batch up depends on the number of devices.
    tokens = sum(int(batch.valid.sum()) for batch in batches)
    product = 2.0 * tokens * config.hidden_size * config.ffn_dim
    products = 2 * product + 8.0 * tokens * config.hidden_size**2
    skips_counting = first_counted * COUNTING_SHARE * products >= LEAST_SAVED
    skips_product = product >= LEAST_SAVED
    return [
        Kind(
            counts=layer >= first_counted or not skips_counting,
            goes_on=layer < last or not skips_product,
        )
        for layer in range(last + 1)
    ]


def compile_step(
    config: Config,
    reduction: Reduction,
    params: Parameters,
    x: jax.Array,
    batch: Batch,
    goes_on: bool = True,
) -> Step:
    """An executable: (params, x, state, batch) to (x, state, finite), x and state donated.

    All but params have a leading axis that is shared out over the devices, the state as `init_states` makes
    it. `finite` is bool[N], whether x is finite on all text of a device's windows: NaN is not above 0 and
    would pass for a neuron at rest. Unless it `goes_on` there is no x after the layer, since no layer reads it,
    and with it goes the second product of the feed-forward network; `finite` is then of the activations.
    """

    def step(
        params: Parameters, x: jax.Array, states: State, batch: Batch
    ) -> tuple[jax.Array | None, State, jax.Array]:
        state = jax.tree.map(lambda leaf: leaf[0], states)
        batch = batch._replace(first_window=batch.first_window[0])
        applied = block.Block(config).apply({"params": params}, x)
        x, activation = cast(tuple[jax.Array, jax.Array], applied)
        chex.assert_shape(activation, (*x.shape[:2], config.ffn_dim))
        checked = x if goes_on else activation
        finite = jnp.all(jnp.isfinite(checked) | ~batch.valid[:, :, None])
        state = reduction.update(state, activation > 0, batch)
        states = jax.tree.map(lambda leaf: leaf[None], state)
        return x if goes_on else None, states, finite[None]

    mesh = devices.mesh_of(x)
    part = PartitionSpec(devices.AXIS)
    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(PartitionSpec(), part, part, part),
        out_specs=part,
        # Nothing here is equal on all devices, and a reduction's loops should not have to say so.
        check_vma=False,
    )
    states = jax.eval_shape(lambda: init_states(reduction, mesh))
    jitted = jax.jit(mapped, donate_argnums=(1, 2) if goes_on else (2,))
    return jitted.lower(params, x, states, batch).compile()


def init_states(reduction: Reduction, mesh: Mesh) -> State:
    """A state for each of N devices: arrays [N, ...], each device with its own."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (mesh.size, *leaf.shape)),
        reduction.init(),
    )

"""One update, and one look at held-out windows, jitted: state and windows in, state and numbers out.

Data-parallel over all devices, of all processes, with one mesh axis: windows are sharded over it, the state is on
every device, and XLA puts the sum of gradients in between.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxneurons import devices, errors
from jaxneurons.config import Config
from jaxneurons.training import model, numerics, optimizer, parameters
from jaxneurons.training.recipe import Recipe

# What the seed's key is split into, so that initial parameters and dropout share no bits.
_INITIAL, _DROPOUT = 0, 1


class State(NamedTuple):
    """All that a run carries from step to step.

    The place in the data and the keys of dropout follow from the recipe's seed and `step`.

    Attributes:
        step: int32[], updates done.
        parameters: float32, layers stacked.
        optimizer: optax's state.
    """

    step: jax.Array
    parameters: Any
    optimizer: Any


class Metrics(NamedTuple):
    """What is measured of an update, float32[] each.

    Attributes:
        loss: before the update, without the penalty.
        activity: the sum of absolute activations per token, of all layers.
        gradient_norm: before clipping.
        learning_rate: of the update.
        parameter_norm: after the update.
    """

    loss: jax.Array
    activity: jax.Array
    gradient_norm: jax.Array
    learning_rate: jax.Array
    parameter_norm: jax.Array


def check_parts(recipe: Recipe, mesh: Mesh) -> None:
    """Raises UsageError unless the devices can share a part of a batch equally."""
    part = recipe.windows_per_step // recipe.accumulation
    if part % mesh.size:
        raise errors.UsageError(
            f"{recipe.windows_per_step} windows per step in {recipe.accumulation} parts are "
            f"{part} at a time, which {mesh.size} devices cannot share equally. Choose a multiple."
        )


@functools.partial(jax.jit, static_argnames=("config", "recipe", "mesh"))
def initial_state(config: Config, recipe: Recipe, mesh: Mesh) -> State:
    """The state before the first update, a function of the seed."""
    key = jax.random.fold_in(numerics.random_key(recipe.seed), _INITIAL)
    params = parameters.initialize(config, key, recipe)
    state = State(jnp.int32(0), params, optimizer.make(recipe).init(params))
    return jax.lax.with_sharding_constraint(state, devices.replicated(mesh))


def abstract_state(config: Config, recipe: Recipe, mesh: Mesh) -> State:
    """Shapes, types and places of a run's state."""
    shapes = jax.eval_shape(lambda: initial_state(config, recipe, mesh))
    everywhere = devices.replicated(mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere),
        shapes,
    )


def put_windows(mesh: Mesh, windows: np.ndarray, parts: int) -> jax.Array:
    """Windows int32[B, T + 1] onto the devices as int32[parts, B / parts, T + 1], sharded."""
    stacked = windows.reshape(parts, -1, windows.shape[1])
    return devices.put(stacked, NamedSharding(mesh, PartitionSpec(None, devices.AXIS)))


@functools.partial(
    jax.jit, static_argnames=("config", "recipe", "mesh"), donate_argnames="state"
)
def update(
    config: Config, recipe: Recipe, mesh: Mesh, state: State, windows: jax.Array
) -> tuple[State, Metrics]:
    """Learns from one batch, int32[parts, B / parts, T + 1]; parts run one after the other."""
    (loss, activity), gradient = _measured_and_gradient(config, recipe, state, windows)
    changes, optimizer_state = optimizer.make(recipe).update(
        gradient, state.optimizer, state.parameters
    )
    params = optax.apply_updates(state.parameters, changes)
    metrics = Metrics(
        loss=loss,
        activity=activity,
        gradient_norm=optax.tree.norm(gradient),
        learning_rate=optimizer.learning_rate(recipe, state.step),
        parameter_norm=optax.tree.norm(params),
    )
    result = State(state.step + 1, params, optimizer_state), metrics
    return jax.lax.with_sharding_constraint(result, devices.replicated(mesh))


@functools.partial(jax.jit, static_argnames=("config", "recipe"))
def held_out_losses(
    config: Config, recipe: Recipe, params: Any, windows: jax.Array
) -> jax.Array:
    """The loss of each window of [1, B, T + 1], float32[B], with nothing dropped."""
    losses, _ = model.window_losses(config, recipe, params, windows[0], None)
    return losses


def _measured_and_gradient(
    config: Config, recipe: Recipe, state: State, windows: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], Any]:
    """Loss and activity, and the gradient of both with the penalty: means over the parts, which are equally large."""
    key = jax.random.fold_in(numerics.random_key(recipe.seed), _DROPOUT)
    key = jax.random.fold_in(key, state.step)

    def objective(
        params: Any, part: jax.Array, index: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        part_key = jax.random.fold_in(key, index)
        found = model.window_losses(config, recipe, params, part, part_key)
        loss, activity = jnp.mean(found[0]), jnp.mean(found[1], axis=1)
        measured = loss, jnp.sum(activity)
        if not any(recipe.activation_penalty):
            return loss, measured
        weights = np.array(recipe.activation_penalty, np.float32)
        return loss + jnp.sum(weights * activity), measured

    def part_of(part: jax.Array, index: jax.Array) -> Any:
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (_, measured), gradient = differentiate(state.parameters, part, index)
        return measured, gradient

    if recipe.accumulation == 1:
        return part_of(windows[0], jnp.int32(0))

    def add(total: Any, part: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, part_of(*part)), None

    zero = jax.tree.map(jnp.zeros_like, state.parameters)
    nothing = ((jnp.float32(0), jnp.float32(0)), zero)
    total, _ = jax.lax.scan(add, nothing, (windows, jnp.arange(recipe.accumulation)))
    return jax.tree.map(lambda leaf: leaf / recipe.accumulation, total)

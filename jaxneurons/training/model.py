"""The whole model as training runs it: windows in, the loss and the activity of each out.

The layers run under `jax.lax.scan`, each `block.Block`, the same code that a study runs.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from jaxneurons.config import Config
from jaxneurons.model import embed
from jaxneurons.model.block import Block
from jaxneurons.training.recipe import Recipe


def window_losses(
    config: Config,
    recipe: Recipe,
    parameters: dict[str, Any],
    windows: jax.Array,
    dropout_key: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy of each window's tokens given those before, in nats, and how active neurons are.

    Args:
        config: sizes and variant of the model.
        recipe: only its dtype, remat and dropout matter.
        parameters: as `parameters.initialize` makes them.
        windows: int32[B, T + 1], full windows: T inputs and, each one later, T targets.
        dropout_key: random key; None drops nothing.

    Returns:
        Losses float32[B], and activities float32[L, B]: the sum of the absolute activations of a
        layer's neurons, a mean over tokens.
    """
    chex.assert_rank(windows, 2)
    dtype = jnp.dtype(recipe.dtype)
    x = embed.embed(
        config,
        parameters["embed"],
        windows[:, :-1],
        dtype=dtype,
        precision=recipe.precision,
    )
    x, activity = _run_layers(config, recipe, parameters["layers"], x, dropout_key)
    logits = embed.logits(config, parameters["embed"], x, recipe.precision)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, windows[:, 1:])
    return jnp.mean(losses, axis=1), activity


def _run_layers(
    config: Config,
    recipe: Recipe,
    layers: dict[str, Any],
    x: jax.Array,
    dropout_key: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    rate = 0.0 if dropout_key is None else recipe.dropout
    block = Block(config, dropout_rate=rate, precision=recipe.precision)

    def run(x: jax.Array, layer: tuple[Any, jax.Array]) -> tuple[jax.Array, jax.Array]:
        params, index = layer
        rngs = {}
        if dropout_key is not None:
            rngs["dropout"] = jax.random.fold_in(dropout_key, index)
        x, activations = block.apply({"params": params}, x, rngs=rngs)
        sizes = jnp.sum(jnp.abs(activations.astype(jnp.float32)), axis=-1)
        return x, jnp.mean(sizes, axis=-1)

    if recipe.remat:
        # A scan already keeps XLA from merging this with the backward pass.
        run = jax.checkpoint(run, prevent_cse=False)
    indices = jnp.arange(config.num_hidden_layers)
    return jax.lax.scan(run, x, (layers, indices))

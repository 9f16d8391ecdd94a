"""A recipe in, the optimizer of OPT (Zhang et al. 2022, §2.2) out: AdamW, clipped, with a linear schedule."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxneurons.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: jax.Array) -> jax.Array:
    """The learning rate, float32[], of the update that follows `step` updates, int32[]."""
    update = step.astype(jnp.float32) + 1.0
    rise = update / max(recipe.warmup_steps, 1)
    falling_steps = max(recipe.steps - recipe.warmup_steps, 1)
    passed = jnp.clip((update - recipe.warmup_steps) / falling_steps, 0.0, 1.0)
    fall = 1.0 - (1.0 - recipe.final_share) * passed
    return recipe.learning_rate * jnp.minimum(rise, fall)


def make(recipe: Recipe) -> optax.GradientTransformation:
    """Clipping by the norm of the whole gradient, then AdamW."""
    return optax.chain(
        optax.clip_by_global_norm(recipe.clip),
        optax.adamw(
            lambda step: learning_rate(recipe, step),
            b1=recipe.b1,
            b2=recipe.b2,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            mask=is_matrix,
        ),
    )


def is_matrix(parameters: Any) -> Any:
    """True for kernels and embedding tables, False for biases and LayerNorms, in the same nesting.

    By name: layers are stacked, so that a bias has two axes.
    """
    return jax.tree.map_with_path(
        lambda path, _: path[-1].key.endswith(("kernel", "embedding")), parameters
    )

"""The recipe: every number that decides what a training run computes, and the optimizer made of them.

In: a `Recipe`. Out: an optax optimizer. Defaults are OPT's (Zhang et al. 2022, §2.2), the peak of
the learning rate and the lengths apart, which go with the size.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxneurons import errors

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters; hashable, a static argument of the jitted step.

    Attributes:
        steps: updates in all.
        windows_per_step: B, windows of an update, over all devices and accumulated parts.
        accumulation: parts that a batch is cut into, run one after the other.
        learning_rate: at the end of the warm-up.
        warmup_steps: over which it rises linearly.
        final_share: of the learning rate that is left after the last step; it falls linearly.
        b1, b2, epsilon: of Adam.
        weight_decay: of kernels and embedding tables; biases and LayerNorms have none.
        clip: the largest norm of a gradient.
        dropout: of both updates of the residual stream; embeddings have none, as in OPT.
        init_std: of matrices; those that write to the residual stream get 1/sqrt(2 L) of it.
        dtype: to compute in; parameters are float32 whatever it is.
        remat: forget activations in the forward pass and compute them again in the backward one.
        seed: of parameters, order of windows and dropout.
    """

    steps: int
    windows_per_step: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_share: float = 0.1
    b1: float = 0.9
    b2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.1
    init_std: float = 0.006
    dtype: str = "float32"
    remat: bool = False
    seed: int = 0

    def __post_init__(self):
        problems = [
            f"{name} is {getattr(self, name)!r}, wanted {wanted}"
            for name, wanted, is_well in (
                ("steps", "1 to 2**31 - 1", 1 <= self.steps < 2**31),
                ("windows_per_step", "at least 1", self.windows_per_step >= 1),
                ("accumulation", "at least 1", self.accumulation >= 1),
                (
                    "learning_rate",
                    "more than 0 and finite",
                    0 < self.learning_rate < math.inf,
                ),
                ("warmup_steps", "at least 0", self.warmup_steps >= 0),
                ("final_share", "0 to 1", 0 <= self.final_share <= 1),
                ("b1", "0 to less than 1", 0 <= self.b1 < 1),
                ("b2", "0 to less than 1", 0 <= self.b2 < 1),
                ("epsilon", "more than 0 and finite", 0 < self.epsilon < math.inf),
                (
                    "weight_decay",
                    "at least 0 and finite",
                    0 <= self.weight_decay < math.inf,
                ),
                ("clip", "more than 0 and finite", 0 < self.clip < math.inf),
                ("dropout", "0 to less than 1", 0 <= self.dropout < 1),
                ("init_std", "more than 0 and finite", 0 < self.init_std < math.inf),
                ("dtype", f"one of {DTYPES}", self.dtype in DTYPES),
                ("seed", "0 to 2**31 - 1", 0 <= self.seed < 2**31),
            )
            if not is_well
        ]
        if not problems and self.windows_per_step % self.accumulation:
            problems.append(
                f"windows_per_step {self.windows_per_step} is not a multiple of "
                f"accumulation {self.accumulation}"
            )
        if problems:
            raise errors.UsageError(f"not a recipe: {'; '.join(problems)}")

    @property
    def precision(self) -> str:
        """Of the matrix products: true float32, or what the device does with 16-bit operands."""
        return "highest" if self.dtype == "float32" else "default"


def default_dtype() -> str:
    """bfloat16 where hardware multiplies it fast, float32 on a CPU."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def learning_rate(recipe: Recipe, step: jax.Array) -> jax.Array:
    """The learning rate, float32[], of the update that follows `step` updates, int32[]."""
    update = step.astype(jnp.float32) + 1.0
    rise = update / max(recipe.warmup_steps, 1)
    falling_steps = max(recipe.steps - recipe.warmup_steps, 1)
    passed = jnp.clip((update - recipe.warmup_steps) / falling_steps, 0.0, 1.0)
    fall = 1.0 - (1.0 - recipe.final_share) * passed
    return recipe.learning_rate * jnp.minimum(rise, fall)


def optimizer(recipe: Recipe) -> optax.GradientTransformation:
    """Clipping by the norm of the whole gradient, then AdamW."""
    rule = optax.chain(
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

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        # optax raises its floats to the power of an int32 count of steps.
        with jax.numpy_dtype_promotion("standard"):
            return rule.update(gradient, state, params)

    return optax.GradientTransformation(rule.init, update)


def is_matrix(parameters: Any) -> Any:
    """True for kernels and embedding tables, False for biases and LayerNorms, in the same nesting.

    By name: layers are stacked, so that a bias has two axes.
    """
    return jax.tree.map_with_path(
        lambda path, _: path[-1].key.endswith(("kernel", "embedding")), parameters
    )

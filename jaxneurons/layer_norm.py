"""LayerNorm as OPT has it, for the block and for the model's last norm: residual stream in, normalised stream out."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxneurons.config import LAYER_NORM_EPSILON


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the last axis, float[..., D] to the same shape and type, computed in float32.

    Flax's, with OPT's epsilon, and with the variance taken about the mean: Flax's default,
    E[x²] - E[x]², loses digits that decide whether a neuron near 0 fires.
    """

    epsilon: float = LAYER_NORM_EPSILON
    use_fast_variance: bool = False
    dtype: jnp.dtype | None = jnp.float32

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x.astype(jnp.float32)).astype(x.dtype)

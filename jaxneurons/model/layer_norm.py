"""LayerNorm, for the block and for the model's last norm: residual stream in, normalised stream out."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class LayerNorm(nn.Module):
    """LayerNorm over the last axis.

    Unlike Flax's it takes 16-bit scale and bias without promotion, and the variance about the
    mean: E[x²] - E[x]² loses digits that decide whether a neuron near 0 fires.

    Attributes:
        affine: whether it has a scale and a bias.
        epsilon: what is added to the variance.
    """

    affine: bool = True
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises float[..., D] in float32; the result has the type of x."""
        wide = x.astype(jnp.float32)
        centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(variance + self.epsilon)
        if self.affine:
            size = x.shape[-1:]
            scale = self.param("scale", nn.initializers.ones, size)
            bias = self.param("bias", nn.initializers.zeros, size)
            last = (1,) * (x.ndim - 1) + size
            normal = normal * scale.astype(jnp.float32).reshape(last)
            normal = normal + bias.astype(jnp.float32).reshape(last)
        return normal.astype(x.dtype)

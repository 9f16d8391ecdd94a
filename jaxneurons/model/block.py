"""One layer as a pure Flax Linen module: residual stream in, residual stream and neurons out.

`Block(config).apply({"params": params}, x)` computes in the type of `x` whatever the type of the
parameters, and keeps LayerNorm, attention scores and softmax in float32.
"""

import functools
from collections.abc import Mapping

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from jaxneurons.config import Config
from jaxneurons.model import attention
from jaxneurons.model.layer_norm import LayerNorm


class Attention(nn.Module):
    """Causal self-attention of H heads.

    Attributes:
        config: sizes and variant of the model.
        implementation: the switch of `attention.causal_attention`.
        precision: of the matrix products.
    """

    config: Config
    implementation: str = "auto"
    precision: jax.lax.PrecisionLike = "highest"

    @nn.compact
    def __call__(
        self, x: jax.Array, attention_mask: jax.Array | None = None
    ) -> jax.Array:
        """Mixes positions: float[B, T, D] to the same; attention_mask is bool[B, T] or None."""
        config = self.config
        dense = functools.partial(
            nn.DenseGeneral,
            use_bias=config.enable_bias,
            dtype=x.dtype,
            precision=self.precision,
        )
        heads = (config.num_attention_heads, config.head_size)
        # After the bias.
        query = dense(heads, name="query")(x) * config.head_size**-0.5
        key = dense(heads, name="key")(x)
        value = dense(heads, name="value")(x)
        mixed = attention.causal_attention(
            query, key, value, attention_mask, self.implementation, self.precision
        )
        return dense(config.hidden_size, axis=(-2, -1), name="output")(mixed)


class FeedForward(nn.Module):
    """The two-layer network whose F inner units are the paper's neurons (§1).

    Attributes:
        config: sizes and variant of the model.
        precision: of the matrix products.
    """

    config: Config
    precision: jax.lax.PrecisionLike = "highest"

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps float[B, T, D] to the update float[B, T, D] and the neurons float[B, T, F]."""
        dense = functools.partial(
            nn.Dense,
            use_bias=self.config.enable_bias,
            dtype=x.dtype,
            precision=self.precision,
        )
        activation = _nonlinearity(
            self.config, dense(self.config.ffn_dim, name="fc1")(x)
        )
        return dense(self.config.hidden_size, name="fc2")(activation), activation


class Block(nn.Module):
    """One layer of a model, pre- or post-LayerNorm.

    >>> block = jaxneurons.Block(model.config)
    >>> x = model.embed(text.tokens[:2])
    >>> x, activation = jax.jit(block.apply)({"params": model.layer(0)}, x)
    >>> x.shape, activation.shape
    ((2, 64, 128), (2, 64, 1024))

    All layers as one scan over their stacked weights:

    >>> layers = [{"params": model.layer(i)} for i in range(4)]
    >>> stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *layers)
    >>> x, activations = jax.lax.scan(lambda x, layer: block.apply(layer, x), x, stacked)
    >>> activations.shape
    (4, 2, 64, 1024)

    Attributes:
        config: sizes and variant of the model.
        dropout_rate: of both updates of the residual stream, in training; above 0 it needs
            `rngs={"dropout": key}`.
        implementation: the switch of `attention.causal_attention`.
        precision: of the matrix products; "highest" is true float32 on every device.
    """

    config: Config
    dropout_rate: float = 0.0
    implementation: str = "auto"
    precision: jax.lax.PrecisionLike = "highest"

    @nn.compact
    def __call__(
        self, x: jax.Array, attention_mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Applies the layer.

        Args:
            x: float[B, T, D], the residual stream; its type is the type of all that follows.
            attention_mask: bool[B, T], False on left padding; None where there is none.

        Returns:
            x: float[B, T, D], the residual stream after the layer.
            activation: float[B, T, F], the neurons' values after the nonlinearity; a neuron is
                active where its value is > 0.
        """
        chex.assert_shape(x, (None, None, self.config.hidden_size))
        norm = functools.partial(
            LayerNorm,
            self.config.layer_norm_elementwise_affine,
            self.config.layer_norm_epsilon,
        )
        attention_norm = norm(name="attention_layer_norm")
        feed_forward_norm = norm(name="feed_forward_layer_norm")
        dropout = nn.Dropout(self.dropout_rate, deterministic=self.dropout_rate == 0.0)
        attend = Attention(
            self.config, self.implementation, self.precision, name="attention"
        )
        feed_forward = FeedForward(self.config, self.precision, name="feed_forward")
        if self.config.do_layer_norm_before:
            x = x + dropout(attend(attention_norm(x), attention_mask))
            update, activation = feed_forward(feed_forward_norm(x))
            return x + dropout(update), activation
        x = attention_norm(x + dropout(attend(x, attention_mask)))
        update, activation = feed_forward(x)
        return feed_forward_norm(x + dropout(update)), activation


# What reads a model, checks it and plans its memory asks for them, and each time the block would be traced.
@functools.cache
def parameter_shapes(config: Config) -> Mapping[str, tuple[int, ...]]:
    """Parameter paths of one layer, joined with "/", and their shapes."""
    x = jax.ShapeDtypeStruct((1, 1, config.hidden_size), jnp.float32)
    # A key made here, or attention that asks what device there is, would start one.
    block = Block(config, implementation="chunked")
    variables = jax.eval_shape(lambda x: block.init(jax.random.key(0), x), x)
    flat = traverse_util.flatten_dict(variables.get("params", {}), sep="/")
    return {path: leaf.shape for path, leaf in sorted(flat.items())}


def _nonlinearity(config: Config, x: jax.Array) -> jax.Array:
    if config.activation_function == "relu":
        return nn.relu(x)
    # As Hugging Face names them: "gelu" is the exact erf form, "gelu_new" the tanh approximation.
    return nn.gelu(x, approximate=config.activation_function == "gelu_new")

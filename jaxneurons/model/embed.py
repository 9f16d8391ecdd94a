"""The two ends of a model: tokens to the residual stream, the residual stream to logits.

Parameters are the nested dict that a layer store's `read_embed` gives.
"""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from jaxneurons.config import Config
from jaxneurons.model.layer_norm import LayerNorm


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Parameter paths outside the layers, joined with "/", and their shapes."""
    width, hidden = config.word_embed_proj_dim, config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"token_embedding": (config.vocab_size, width)}
    if config.positions == "learned":
        rows = config.max_position_embeddings + config.position_offset
        shapes["position_embedding"] = (rows, hidden)
    if config.has_projections:
        shapes["project_in/kernel"] = (width, hidden)
        shapes["project_out/kernel"] = (hidden, width)
    if config.has_final_layer_norm and config.layer_norm_elementwise_affine:
        shapes["final_layer_norm/scale"] = (hidden,)
        shapes["final_layer_norm/bias"] = (hidden,)
    return dict(sorted(shapes.items()))


def embed(
    config: Config,
    params: Mapping[str, Any],
    tokens: jax.Array,
    attention_mask: jax.Array | None = None,
    dtype: jnp.dtype = jnp.float32,
    precision: jax.lax.PrecisionLike = "highest",
) -> jax.Array:
    """Looks tokens and their positions up.

    Args:
        config: sizes and variant of the model.
        params: token_embedding [V, E] and what else `parameter_shapes` lists.
        tokens: int32[B, T].
        attention_mask: bool[B, T], False on padding: positions count what is not padding.
            None where nothing is, or only to the right of the text.
        dtype: of the residual stream.
        precision: of the projection into the residual stream (350m).

    Returns:
        float[B, T, D].
    """
    chex.assert_rank(tokens, 2)
    x = params["token_embedding"][tokens].astype(dtype)
    if config.has_projections:
        kernel = params["project_in"]["kernel"].astype(dtype)
        x = jnp.einsum("bte,ed->btd", x, kernel, precision=precision)
    if config.positions == "none":
        return x
    # Padding before a text gets the row before position 0, or the last one where there is none.
    index = _positions(tokens, attention_mask) + config.position_offset
    return x + params["position_embedding"][index].astype(dtype)


def logits(
    config: Config,
    params: Mapping[str, Any],
    x: jax.Array,
    precision: jax.lax.PrecisionLike = "highest",
) -> jax.Array:
    """Reads next-token logits off the residual stream.

    Args:
        config: sizes and variant of the model.
        params: as for `embed`; the head is the token embedding.
        x: float[B, T, D] after the last layer.
        precision: of the matrix products.

    Returns:
        float32[B, T, V], also of 16-bit operands.
    """
    x = final_layer_norm(config, params, x)
    if config.has_projections:
        kernel = params["project_out"]["kernel"].astype(x.dtype)
        x = jnp.einsum("btd,de->bte", x, kernel, precision=precision)
    head = params["token_embedding"].astype(x.dtype)
    return jnp.einsum(
        "bte,ve->btv",
        x,
        head,
        precision=precision,
        preferred_element_type=jnp.float32,
    )


def final_layer_norm(
    config: Config, params: Mapping[str, Any], x: jax.Array
) -> jax.Array:
    """The norm before the head, float[..., D]; nothing for a model that has none."""
    if not config.has_final_layer_norm:
        return x
    affine = config.layer_norm_elementwise_affine
    return LayerNorm(affine, config.layer_norm_epsilon).apply(
        {"params": params["final_layer_norm"]} if affine else {}, x
    )


def _positions(tokens: jax.Array, attention_mask: jax.Array | None) -> jax.Array:
    """int32[B, T]: 0, 1, 2, ... over what is not padding, -1 before it (TransformerLens#1609)."""
    if attention_mask is None:
        return jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    seen = attention_mask.astype(jnp.int32)
    return jnp.cumsum(seen, axis=1) * seen - 1

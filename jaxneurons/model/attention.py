"""Causal attention: queries, keys and values of all heads in, the mix of values out.

One switch chooses between cuDNN's fused kernel, where it runs, and plain JAX over
chunks of queries, which never holds the whole T x T table of scores.
"""

import functools
import logging
from concurrent import futures

import chex
import jax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "cudnn", "chunked")
# Queries per chunk: 256 was the fastest of 128, 256 and 512 on CPU (benchmark/README.md).
CHUNK = 256
_logger = logging.getLogger(__name__)


def causal_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    attention_mask: jax.Array | None = None,
    implementation: str = "auto",
    precision: jax.lax.PrecisionLike = "highest",
) -> jax.Array:
    """Lets every position mix the values of itself and the positions before it.

    The mask of T = 4, queries down, keys across::

        1 0 0 0
        1 1 0 0
        1 1 1 0
        1 1 1 1

    Args:
        query: float[B, T, H, K], already scaled.
        key: float[B, T, H, K].
        value: float[B, T, H, K].
        attention_mask: bool[B, T], False for keys nobody may look at (padding on the left);
            padding on the right needs none. None looks at all.
        implementation: "cudnn" (16-bit types on a CUDA GPU, no attention_mask), "chunked",
            or "auto": cuDNN where it runs, else chunked.
        precision: of the matrix products.

    Returns:
        float[B, T, H, K] in the type of value; scores and softmax are float32.

    Raises:
        ValueError: the implementation is unknown, or cuDNN is given an attention_mask.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"attention implementation is {implementation!r}. Choose one of {IMPLEMENTATIONS}."
        )
    if implementation == "auto":
        fits = attention_mask is None and cudnn_runs(query.dtype, query.shape[-1])
        implementation = "cudnn" if fits else "chunked"
    if implementation == "chunked":
        return _chunked(query, key, value, attention_mask, precision)
    if attention_mask is not None:
        raise ValueError("cuDNN attention takes no attention_mask; use chunked")
    return _cudnn(query, key, value)


def cudnn_runs(dtype: jnp.dtype, head_size: int) -> bool:
    """Whether cuDNN's fused attention runs here on this type and K, by one small call."""
    on_cuda = jax.default_backend() == "gpu" and bool(_cuda_devices())
    if not on_cuda or dtype not in (jnp.float16, jnp.bfloat16):
        return False
    return _try_cudnn(jnp.dtype(dtype), head_size)


@functools.cache
def _try_cudnn(dtype: jnp.dtype, head_size: int) -> bool:
    def call() -> None:
        heads = jnp.ones((1, CHUNK, 1, head_size), dtype)
        jax.block_until_ready(jax.jit(_cudnn)(heads, heads, heads))

    # Who asks may be traced, which is a matter of its own thread.
    with futures.ThreadPoolExecutor(1) as alone:
        error = alone.submit(call).exception()
    if error is not None:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        _logger.warning(
            "cuDNN's attention does not run in %s with heads of %d: %s. The plain form is used, which is slower.",
            dtype,
            head_size,
            reason,
        )
    return error is None


def _cudnn(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    return jax.nn.dot_product_attention(
        query, key, value, scale=1.0, is_causal=True, implementation="cudnn"
    )


def _cuda_devices() -> list[jax.Device]:
    return [d for d in jax.devices() if "nvidia" in d.device_kind.lower()]


def _chunked(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    attention_mask: jax.Array | None,
    precision: jax.lax.PrecisionLike,
) -> jax.Array:
    if attention_mask is not None:
        chex.assert_shape(attention_mask, query.shape[:2])
    one_head = jax.vmap(functools.partial(_one_head, precision))
    heads_first = [jnp.moveaxis(x, 2, 0) for x in (query, key, value)]
    # One head at a time keeps the scores in cache; the batch stays whole, so that it
    # can be sharded.
    mixed = jax.lax.map(
        lambda head: one_head(head[0], head[1], head[2], attention_mask), heads_first
    )
    return jnp.moveaxis(mixed, 0, 2)


def _one_head(
    precision: jax.lax.PrecisionLike,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    attention_mask: jax.Array | None,
) -> jax.Array:
    """Attention of one head of one text, [T, K] each: each chunk of queries against its prefix."""
    length = query.shape[0]
    chunks = []
    for start in range(0, length, CHUNK):
        stop = min(start + CHUNK, length)
        scores = jnp.einsum(
            "tk,sk->ts",
            query[start:stop],
            key[:stop],
            precision=precision,
            # float16 overflows in scores (transformers#17433).
            preferred_element_type=jnp.float32,
        )
        visible = jnp.arange(start, stop)[:, None] >= jnp.arange(stop)[None, :]
        if attention_mask is not None:
            visible = jnp.logical_and(visible, attention_mask[None, :stop])
        # The least number, not -inf: a row that sees nothing must not become NaN.
        scores = jnp.where(visible, scores, jnp.finfo(jnp.float32).min)
        weights = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
        total = jnp.sum(weights, axis=-1, keepdims=True)
        mixed = jnp.einsum(
            "ts,sk->tk",
            weights.astype(value.dtype),
            value[:stop],
            precision=precision,
            preferred_element_type=jnp.float32,
        )
        chunks.append((mixed / total).astype(value.dtype))
    return jnp.concatenate(chunks)

"""Chunked causal attention against the plain form, its mask by gradients, and the switch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons.model import attention
from tests.support import cases


def plain(query, key, value, attention_mask):
    """The textbook form in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    length = query.shape[1]
    scores = np.einsum("bthk,bshk->bhts", query, key)
    visible = np.tril(np.ones((length, length), bool))[None, None]
    visible = visible & np.asarray(attention_mask)[:, None, None, :]
    scores = np.where(visible, scores, -1e300)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhts,bshk->bthk", weights, value)


def random_heads(length, batch=2, heads=3, size=5, dtype=jnp.float32):
    shape = (3, batch, length, heads, size)
    return list(jnp.asarray(np.random.default_rng(length).normal(size=shape), dtype))


@cases.each("length", [1, 256, 257, 600])
def test_chunks_agree_with_plain_attention(length):
    heads = random_heads(length)
    everything = np.ones((2, length), bool)
    found = jax.jit(attention.causal_attention)(*heads)
    np.testing.assert_allclose(found, plain(*heads, everything), atol=1e-5)


def test_masked_keys_are_not_seen():
    heads = random_heads(300)
    mask = np.ones((2, 300), bool)
    mask[1, :270] = False
    found = jax.jit(attention.causal_attention)(*heads, jnp.asarray(mask))
    wanted = plain(*heads, mask)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
    np.testing.assert_allclose(found[1, 270:], wanted[1, 270:], atol=1e-5)
    assert np.isfinite(found).all()


def test_no_gradient_flows_from_the_future():
    query, key, value = random_heads(300)

    def one_output(value):
        return attention.causal_attention(query, key, value)[0, 260].sum()

    gradient = jax.jit(jax.grad(one_output))(value)
    assert np.all(np.asarray(gradient[0, :261]) != 0)
    assert not np.any(gradient[0, 261:])
    assert not np.any(gradient[1])


def test_large_scores_do_not_overflow_in_float16():
    query, key, value = random_heads(4, dtype=jnp.float16)
    found = attention.causal_attention(query * 300, key * 300, value)
    assert found.dtype == jnp.float16
    assert np.isfinite(found).all()


def test_switch():
    heads = random_heads(4)
    with pytest.raises(ValueError, match="Choose one of"):
        attention.causal_attention(*heads, implementation="flash")
    with pytest.raises(ValueError, match="attention_mask"):
        mask = jnp.ones((2, 4), bool)
        attention.causal_attention(*heads, mask, implementation="cudnn")
    if not attention.cudnn_runs(jnp.bfloat16, 8):
        auto = attention.causal_attention(*heads)
        chunked = attention.causal_attention(*heads, implementation="chunked")
        np.testing.assert_array_equal(auto, chunked)


class Card:
    device_kind = "NVIDIA H100"


def test_where_cudnn_refuses_the_plain_form_runs_and_one_line_says_so(
    monkeypatch, caplog
):
    """A CPU refuses as a card does that cuDNN does not know; also while JAX traces, as in a step."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda *kind: [Card()])
    for _ in range(2):
        heads = random_heads(4, size=4, dtype=jnp.float16)
        auto = jax.jit(attention.causal_attention)(*heads)
        chunked = attention.causal_attention(*heads, implementation="chunked")
        np.testing.assert_array_equal(auto, chunked)
        jax.clear_caches()
    (message,) = caplog.messages
    assert message.startswith(
        "cuDNN's attention does not run in float16 with heads of 4: "
    )

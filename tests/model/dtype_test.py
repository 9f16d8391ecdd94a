"""How much 16-bit arithmetic, and float32 in shorter terms, changes activation masks of opt-1.9m."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons.model import block, embed
from tests.support import cases

WINDOWS = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return jaxneurons.open_model("opt-1.9m", cache=tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def tokens(model, tmp_path_factory):
    cache = tmp_path_factory.mktemp("tokens")
    windows = jaxneurons.load_text(model, window=256, cache=cache)
    chosen = np.linspace(0, len(windows.tokens) - 1, WINDOWS).astype(int)
    return jnp.asarray(windows.tokens[chosen])


@functools.partial(jax.jit, static_argnames=("config", "dtype"))
def masks(config, params, layers, tokens, dtype):
    """bool[L, B, T, F], all computed in one type."""
    x = embed.embed(config, params, tokens, dtype=jnp.dtype(dtype))
    found = []
    for layer in layers:
        x, activation = block.Block(config).apply({"params": layer}, x)
        found.append(activation > 0)
    return jnp.stack(found)


# In per cent, the table of jaxneurons/stats/README.md. Other processors round differently, hence
# the factor of two.
@pytest.mark.campaign
@cases.each("dtype, share", [("float16", 0.007), ("bfloat16", 0.050)])
def test_share_of_masks_that_differ_from_float32(model, tokens, dtype, share):
    layers = [model.layer(i) for i in range(model.config.num_hidden_layers)]
    compute = functools.partial(masks, model.config, model.embedding, layers, tokens)
    differing = np.asarray(compute(dtype="float32") != compute(dtype=dtype))
    by_layer = 100 * differing.mean(axis=(1, 2, 3))
    print(f"{dtype}: {100 * differing.mean():.4f} %, by layer {by_layer.round(4)}")
    assert share / 2 < 100 * differing.mean() < share * 2


def tf32(x):
    """The nearest numbers of 10 bits of mantissa, the larger of two as near."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(2**12)
    return jax.lax.bitcast_convert_type(bits & jnp.uint32(2**32 - 2**13), jnp.float32)


def bfloat16(x):
    return x.astype(jnp.bfloat16).astype(jnp.float32)


def split(x, shorten, number):
    """Terms that add up to x, or nearly: each is the shortened rest."""
    found = []
    for _ in range(number):
        found.append(shorten(x))
        x = x - found[-1]
    return found


# In per cent. A CPU has no such products, so those of projections and the feed-forward network are
# emulated: products of short terms are exact in float32.
@cases.each(
    "shorten, number, least, most",
    [(tf32, 1, 0.001, 0.01), (tf32, 2, 0, 0.0002), (bfloat16, 2, 0, 0.0002)],
)
@pytest.mark.campaign
def test_share_of_masks_that_differ_by_products_of_shorter_terms(
    model, tokens, monkeypatch, shorten, number, least, most
):
    layers = [model.layer(i) for i in range(model.config.num_hidden_layers)]
    plain = jax.lax.dot_general

    def in_terms(a, b, *where, **how):
        pairs = [
            (x, y)
            for i, x in enumerate(split(a, shorten, number))
            for j, y in enumerate(split(b, shorten, number))
            if i + j < number
        ]
        # The smallest products first.
        return sum(plain(x, y, *where, **how) for x, y in reversed(pairs))

    arguments = (model.embedding, layers, tokens[::8], "float32")
    wanted = masks(model.config, *arguments)
    with monkeypatch.context() as patch:
        patch.setattr(jax.lax, "dot_general", in_terms)
        emulated = masks.__wrapped__(model.config, *arguments)
    differing = 100 * np.asarray(wanted != emulated).mean()
    print(f"{shorten.__name__} in {number} terms: {differing:.5f} %")
    assert least <= differing <= most

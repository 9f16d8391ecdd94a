"""How much 16-bit arithmetic changes activation masks, on the embedded model and text."""

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
    return jaxneurons.open_model(cache=tmp_path_factory.mktemp("demo"))


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
@cases.each("dtype, share", [("float16", 0.007), ("bfloat16", 0.050)])
def test_share_of_masks_that_differ_from_float32(model, tokens, dtype, share):
    layers = [model.layer(i) for i in range(model.config.num_hidden_layers)]
    compute = functools.partial(masks, model.config, model.embedding, layers, tokens)
    differing = np.asarray(compute(dtype="float32") != compute(dtype=dtype))
    by_layer = 100 * differing.mean(axis=(1, 2, 3))
    print(f"{dtype}: {100 * differing.mean():.4f} %, by layer {by_layer.round(4)}")
    assert share / 2 < 100 * differing.mean() < share * 2

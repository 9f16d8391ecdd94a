"""The block under the transformations of JAX, as README shows them."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import config
from jaxneurons.model import block

SMALL = config.Config(
    vocab_size=50,
    hidden_size=16,
    ffn_dim=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=32,
)


@pytest.fixture(scope="module")
def layer():
    module = block.Block(SMALL)
    x = jax.random.normal(jax.random.key(0), (2, 7, 16))
    params = jax.jit(module.init)(jax.random.key(1), x)["params"]
    return jax.jit(module.apply), params, x


def test_apply_gives_the_stream_and_the_neurons(layer):
    apply, params, x = layer
    out, activation = apply({"params": params}, x)
    assert out.shape == (2, 7, 16)
    assert activation.shape == (2, 7, 24)
    assert activation.min() == 0 < activation.max()


def test_pure_and_jitted_alike(layer):
    apply, params, x = layer
    first = block.Block(SMALL).apply({"params": params}, x)
    again = apply({"params": params}, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), first, again)


def test_vmap_over_layers_with_other_weights(layer):
    apply, params, x = layer
    stacked = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    out, _ = jax.vmap(lambda p: apply({"params": p}, x))(stacked)
    doubled = jax.tree.map(lambda p: 2 * p, params)
    np.testing.assert_allclose(out[1], apply({"params": doubled}, x)[0], atol=1e-5)


@pytest.mark.campaign
def test_vmap_over_examples(layer):
    apply, params, x = layer
    out, _ = jax.vmap(lambda one: apply({"params": params}, one[None]))(x)
    np.testing.assert_allclose(out[:, 0], apply({"params": params}, x)[0], atol=1e-5)


def test_grad_of_one_neuron_by_the_input(layer):
    apply, params, x = layer
    _, activation = apply({"params": params}, x)
    position, index = np.argwhere(np.asarray(activation[0]) > 0)[-1]
    gradient = jax.grad(lambda x: apply({"params": params}, x)[1][0, position, index])(
        x
    )
    # Causal: only this text, only up to this position.
    assert np.any(gradient[0, : position + 1])
    assert not np.any(gradient[0, position + 1 :])
    assert not np.any(gradient[1])


@pytest.mark.campaign
def test_grad_agrees_with_finite_differences(layer):
    apply, params, x = layer

    def loss(scale):
        return jnp.sum(apply({"params": params}, x * scale)[0] ** 2)

    slope = jax.grad(loss)(jnp.float32(1.0))
    step = 1e-3
    numeric = (loss(jnp.float32(1 + step)) - loss(jnp.float32(1 - step))) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-2)


def test_scan_over_stacked_layers(layer):
    apply, params, x = layer
    stacked = jax.tree.map(lambda p: jnp.stack([p, 0.5 * p, 2 * p]), params)
    scanned, activations = jax.lax.scan(
        lambda x, p: apply({"params": p}, x), x, stacked
    )
    for index in range(3):
        x, activation = apply(
            {"params": jax.tree.map(lambda p, i=index: p[i], stacked)}, x
        )
        np.testing.assert_allclose(activations[index], activation, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scanned, x, rtol=1e-4, atol=1e-4)


SHARDED = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxneurons.model import block
import tests.model.block_test
module = block.Block(tests.model.block_test.SMALL)
x = jax.random.normal(jax.random.key(0), (8, 7, 16))
params = module.init(jax.random.key(1), x)["params"]
whole, active = jax.jit(module.apply)({"params": params}, x)
# Both of JAX's ways: the compiler spreads what follows, or types say it.
for mesh in (Mesh(jax.devices(), "windows"), jax.make_mesh((4,), ("windows",))):
    spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec("windows")))
    out, activation = jax.jit(module.apply)({"params": params}, spread)
    assert len(out.sharding.device_set) == 4, out.sharding
    assert activation.sharding.shard_shape(activation.shape)[0] == 2, activation.sharding
    np.testing.assert_allclose(out, whole, atol=1e-5)
    np.testing.assert_array_equal(activation > 1e-4, active > 1e-4)
"""


@pytest.mark.campaign
def test_windows_sharded_over_four_devices():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path]),
    }
    subprocess.run([sys.executable, "-c", SHARDED], env=environment, check=True)


def test_dropout_needs_a_key_and_leaves_the_mean(layer):
    apply, params, x = layer
    module = block.Block(SMALL, dropout_rate=0.5)
    keys = jax.random.split(jax.random.key(0), 500)
    outs, _ = jax.jit(
        jax.vmap(
            lambda key: module.apply({"params": params}, x[:1], rngs={"dropout": key})
        )
    )(keys)
    assert float(jnp.std(outs, axis=0).max()) > 0
    plain, _ = apply({"params": params}, x[:1])
    # Attention's dropout changes what the FFN reads, so the mean is near, not equal.
    assert np.abs(outs.mean(0) - plain).mean() < 0.5 * np.abs(plain - x[:1]).mean()


def test_computes_in_the_type_of_the_input(layer):
    apply, params, x = layer
    half = jax.tree.map(lambda p: p.astype(jnp.float16), params)
    out, activation = apply({"params": half}, x)
    assert out.dtype == activation.dtype == jnp.float32
    out, activation = apply({"params": params}, x.astype(jnp.bfloat16))
    assert out.dtype == activation.dtype == jnp.bfloat16


def test_gelu_is_the_exact_form():
    gelu = config.Config.from_json(SMALL.to_json() | {"activation_function": "gelu"})
    x = jax.random.normal(jax.random.key(0), (1, 4, 16))
    params = block.FeedForward(gelu).init(jax.random.key(1), x)["params"]
    _, activation = block.FeedForward(gelu).apply({"params": params}, x)
    before = x @ params["fc1"]["kernel"]
    exact = jax.scipy.stats.norm.cdf(before) * before
    np.testing.assert_allclose(activation, exact, atol=1e-6)
    assert np.abs(jax.nn.gelu(before) - exact).max() > 1e-5

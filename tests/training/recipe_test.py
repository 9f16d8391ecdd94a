"""The recipe: the learning rate by step, what decays, initial parameters, and values out of range."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.training import numerics, optimizer, parameters, recipe
from tests.support import cases

CONFIG = Config(
    vocab_size=30,
    hidden_size=16,
    ffn_dim=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=8,
    word_embed_proj_dim=10,
)


def rates_of(chosen):
    return [
        float(optimizer.learning_rate(chosen, jnp.int32(step)))
        for step in range(chosen.steps)
    ]


def test_learning_rate_rises_and_falls_linearly():
    rates = rates_of(recipe.Recipe(steps=110, warmup_steps=10, learning_rate=2.0))
    assert [rates[step] for step in (0, 9, 59, 109)] == pytest.approx(
        [0.2, 2.0, 2.0 * 0.55, 0.2]
    )
    np.testing.assert_allclose(np.diff(rates[9:]), -0.018, atol=1e-6)
    without_warmup = recipe.Recipe(steps=10, warmup_steps=0, learning_rate=1.0)
    assert rates_of(without_warmup)[0] == pytest.approx(0.91)


def test_matrices_decay_and_nothing_else():
    params = traverse_util.unflatten_dict(
        dict.fromkeys(parameters.shapes(CONFIG), 0), sep="/"
    )
    decided = traverse_util.flatten_dict(optimizer.is_matrix(params), sep="/")
    assert {path for path, is_matrix in decided.items() if is_matrix} == {
        "embed/token_embedding",
        "embed/position_embedding",
        "embed/project_in/kernel",
        "embed/project_out/kernel",
        "layers/attention/query/kernel",
        "layers/attention/key/kernel",
        "layers/attention/value/kernel",
        "layers/attention/output/kernel",
        "layers/feed_forward/fc1/kernel",
        "layers/feed_forward/fc2/kernel",
    }


@numerics.fixed()
def test_gradients_are_clipped_by_their_common_norm():
    # With so large an epsilon Adam is gradient descent: the change shows the gradient.
    rule = optimizer.make(
        recipe.Recipe(steps=10, warmup_steps=0, weight_decay=0.0, clip=1.0, epsilon=1e3)
    )
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"bias": jnp.zeros(2)}}
    changes = []
    for size in (0.5, 5.0):
        gradient = jax.tree.map(
            functools.partial(jnp.full_like, fill_value=size), params
        )
        changes.append(rule.update(gradient, rule.init(params), params)[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), *changes)


def test_initial_parameters():
    params = parameters.initialize(CONFIG, jax.random.key(0), recipe.Recipe(steps=100))
    flat = traverse_util.flatten_dict(params, sep="/")
    assert {path: leaf.shape for path, leaf in flat.items()} == parameters.shapes(
        CONFIG
    )
    assert flat["layers/feed_forward/fc1/kernel"].shape == (3, 16, 24)
    for path, leaf in flat.items():
        if path.endswith(("scale", "bias")):
            np.testing.assert_array_equal(leaf, path.endswith("scale"))
            continue
        is_output = path in ("layers/attention/output/kernel",)
        is_output |= path == "layers/feed_forward/fc2/kernel"
        expected = 0.006 / np.sqrt(6) if is_output else 0.006
        assert np.std(leaf) == pytest.approx(expected, rel=0.2), path


def test_a_sparse_start():
    plain, sparse = (
        traverse_util.flatten_dict(
            parameters.initialize(CONFIG, jax.random.key(0), chosen), sep="/"
        )
        for chosen in (
            recipe.Recipe(steps=100),
            recipe.Recipe(
                steps=100, token_scale=5.0, initial_threshold=(2.0, 2.0, 1.0)
            ),
        )
    )
    # Of a vector of D entries with mean square 1, and kernels with a standard deviation of 0.006.
    plain["layers/feed_forward/fc1/bias"] -= np.array([[2], [2], [1]]) * 0.006 * 4
    plain["embed/token_embedding"] *= 5
    for path, leaf in plain.items():
        np.testing.assert_allclose(sparse[path], leaf, err_msg=path)
    without = dataclasses.replace(CONFIG, enable_bias=False)
    with pytest.raises(errors.UsageError, match="this model has none"):
        chosen = recipe.Recipe(steps=100, initial_threshold=(2.0,))
        parameters.initialize(without, jax.random.key(0), chosen)


@cases.each(
    "values, message",
    [
        ({"steps": 0}, "steps is 0, but must be from 1 to"),
        ({"warmup_steps": 101}, "warmup_steps is 101, but must be from 0 to 100"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dtype": "float64"}, "dtype is 'float64', but must be one of"),
        ({"activation_penalty": (0.1, -1.0)}, "activation_penalty is .* one for each"),
        ({"initial_threshold": ()}, "initial_threshold is .* one for each layer"),
        ({"windows_per_step": 6, "accumulation": 4}, "6, which is not a multiple of"),
    ],
)
def test_a_value_out_of_range_is_named(values, message):
    with pytest.raises(errors.UsageError, match=message):
        recipe.Recipe(**{"steps": 100} | values)

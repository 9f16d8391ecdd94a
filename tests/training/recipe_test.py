"""The recipe: the learning rate by step, what decays, and values that mean nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.training import parameters, recipe

CONFIG = Config(
    vocab_size=30,
    hidden_size=16,
    ffn_dim=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=8,
    word_embed_proj_dim=10,
)


def test_learning_rate_rises_and_falls_linearly():
    chosen = recipe.Recipe(steps=110, warmup_steps=10, learning_rate=2.0)
    rates = [float(recipe.learning_rate(chosen, jnp.int32(s))) for s in range(110)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == pytest.approx(2.0)
    assert rates[59] == pytest.approx(2.0 * 0.55)
    assert rates[109] == pytest.approx(0.2)
    np.testing.assert_allclose(np.diff(rates[9:]), -0.018, atol=1e-6)


def test_without_warm_up_the_first_step_is_near_the_peak():
    chosen = recipe.Recipe(steps=10, warmup_steps=0, learning_rate=1.0)
    assert float(recipe.learning_rate(chosen, jnp.int32(0))) == pytest.approx(0.91)


def test_matrices_decay_and_nothing_else():
    paths = dict.fromkeys(parameters.shapes(CONFIG), 0)
    params = traverse_util.unflatten_dict(paths, sep="/")
    decided = traverse_util.flatten_dict(recipe.is_matrix(params), sep="/")
    decays = {path for path, is_matrix in decided.items() if is_matrix}
    assert decays == {
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


def test_gradients_are_clipped_by_their_common_norm():
    chosen = recipe.Recipe(
        steps=10, warmup_steps=0, weight_decay=0.0, clip=1.0, epsilon=1e3
    )
    rule = recipe.optimizer(chosen)
    params = {"a": {"kernel": jnp.zeros(2)}, "b": {"bias": jnp.zeros(2)}}
    # With so large an epsilon Adam is gradient descent: the change shows the gradient.
    small, _ = rule.update(
        jax.tree.map(lambda x: x + 0.5, params), rule.init(params), params
    )
    large, _ = rule.update(
        jax.tree.map(lambda x: x + 5.0, params), rule.init(params), params
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), small, large)


def test_initial_parameters():
    params = parameters.initialize(CONFIG, jax.random.key(0), 0.006)
    assert params["layers"]["feed_forward"]["fc1"]["kernel"].shape == (3, 16, 24)
    flat = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(params)
    }
    assert flat.keys() == parameters.shapes(CONFIG).keys()
    residual = 0.006 / np.sqrt(6)
    for path, leaf in flat.items():
        if path.endswith("scale"):
            np.testing.assert_array_equal(leaf, 1)
        elif path.endswith("bias"):
            np.testing.assert_array_equal(leaf, 0)
        else:
            wanted = residual if path in parameters.RESIDUAL_OUTPUTS else 0.006
            assert leaf.std() == pytest.approx(wanted, rel=0.2), path
    assert len(parameters.RESIDUAL_OUTPUTS & flat.keys()) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"windows_per_step": 6, "accumulation": 4}, "6 is not a multiple of"),
    ],
)
def test_refuses_what_means_nothing(values, message):
    with pytest.raises(errors.UsageError, match=message):
        recipe.Recipe(**{"steps": 10} | values)

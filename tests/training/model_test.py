"""The training step: overfits, drops, and gives the same whatever is recomputed, cut up or spread out."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxneurons import devices, errors
from jaxneurons.config import Config
from jaxneurons.training import model, numerics, parameters, recipe, step
from tests.support import cases
from tests.support.helpers import REPOSITORY

CONFIG = Config(
    vocab_size=40,
    hidden_size=32,
    ffn_dim=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=12,
)
RECIPE = recipe.Recipe(
    steps=100, windows_per_step=8, warmup_steps=5, learning_rate=0.01, init_std=0.1
)
PLAIN = dataclasses.replace(RECIPE, dropout=0.0)
WINDOWS = np.random.default_rng(0).integers(4, 40, (8, 13)).astype(np.int32)


@numerics.fixed()
def losses_of(chosen, updates, config=CONFIG):
    mesh = devices.make_mesh()
    state = step.initial_state(config, PLAIN, mesh)
    losses = []
    for _ in range(updates):
        placed = step.put_windows(mesh, WINDOWS, chosen.accumulation)
        state, metrics = step.update(config, chosen, mesh, state, placed)
        losses.append(float(metrics.loss))
    return losses


@pytest.fixture(scope="module")
def plain():
    return losses_of(PLAIN, 4)


@pytest.mark.campaign
@cases.each(
    "variant",
    [{}, {"positions": "none", "do_layer_norm_before": False}],
    every_day=[{}],
)
def test_overfits_one_batch(variant):
    losses = losses_of(PLAIN, 100, dataclasses.replace(CONFIG, **variant))
    assert losses[0] > 3
    assert losses[-1] < 0.05


@pytest.mark.campaign
def test_parts_and_recomputing_change_nothing(plain):
    chosen = dataclasses.replace(PLAIN, accumulation=4, remat=True)
    np.testing.assert_allclose(plain, losses_of(chosen, 4), rtol=1e-5)


@pytest.mark.campaign
def test_bfloat16_is_near_float32(plain):
    rounded = losses_of(dataclasses.replace(PLAIN, dtype="bfloat16"), 4)
    np.testing.assert_allclose(plain, rounded, rtol=0.02)
    assert plain != rounded


def test_a_penalty_makes_a_layers_neurons_less_active_and_is_not_part_of_the_loss():
    mesh = devices.make_mesh()
    placed = step.put_windows(mesh, WINDOWS, 1)
    measured = jax.jit(
        lambda params: model.window_losses(CONFIG, PLAIN, params, WINDOWS, None)
    )

    def trained(*penalty):
        chosen = dataclasses.replace(PLAIN, activation_penalty=penalty)
        state = step.initial_state(CONFIG, chosen, mesh)
        loss, before = measured(state.parameters)
        state, metrics = step.update(CONFIG, chosen, mesh, state, placed)
        assert float(metrics.loss) == pytest.approx(float(loss.mean()), rel=1e-5)
        for _ in range(19):
            state, _ = step.update(CONFIG, chosen, mesh, state, placed)
        after = measured(state.parameters)[1]
        return after.mean(axis=1) / before.mean(axis=1)

    with numerics.fixed():
        first, both = trained(0.1, 0.0), trained(0.1)
    assert first[0] < 0.5 < first[1]
    assert (both < 0.5).all()


@pytest.mark.campaign
def test_dropout_is_a_function_of_its_key():
    params = parameters.initialize(CONFIG, jax.random.key(0), RECIPE)
    losses = jax.jit(
        lambda key: model.window_losses(CONFIG, RECIPE, params, WINDOWS, key)[0]
    )
    first, again, other = (np.asarray(losses(jax.random.key(i))) for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


# Runs in a process of its own: the number of devices is fixed when JAX starts.
_CHILD = """
import json
import jax
from tests.training import model_test as test
print(json.dumps([jax.device_count(), test.losses_of(test.RECIPE, 4)]))
"""


@pytest.mark.campaign
def test_four_devices_give_the_same_losses():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count, losses = json.loads(child.stdout)
    assert count == 4
    np.testing.assert_allclose(losses, losses_of(RECIPE, 4), rtol=1e-5)


def test_a_batch_that_devices_cannot_share_is_refused():
    mesh = jax.sharding.AbstractMesh((3,), (devices.AXIS,))
    with pytest.raises(errors.UsageError, match="8 at a time.* 3 devices cannot share"):
        step.check_parts(RECIPE, mesh)

"""Windows spread over devices: who has which, and the same study whatever their number."""

import json
import os
import pathlib
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import config, devices, errors
from jaxneurons.store import format, writing
from tests.support import cases, planted, studies

TESTS = pathlib.Path(__file__).parent
# Of 350m's kind, with 10 words of neurons for the masks of 8 devices.
MODEL = config.Config(
    vocab_size=20,
    hidden_size=24,
    ffn_dim=290,
    num_hidden_layers=3,
    num_attention_heads=3,
    max_position_embeddings=16,
    word_embed_proj_dim=10,
    do_layer_norm_before=False,
)


@cases.each("number", [1, 2, 3, 8])
@cases.each("windows", [1, 2, 13, 16])
def test_every_window_has_a_row_of_its_own(windows, number):
    mesh = types.SimpleNamespace(size=number)
    spread = devices.Spread(windows, 2, mesh)
    rows = np.full(spread.windows_padded, -1)
    rows[spread.rows()] = np.arange(windows)
    assert (rows >= 0).sum() == windows
    by_batch = rows.reshape(number, spread.batches, 2).swapaxes(0, 1).reshape(-1)
    np.testing.assert_array_equal(by_batch[:windows], np.arange(windows))
    assert spread.windows_padded - windows < 2 * number


@cases.each("number", [0, 2])
def test_devices_that_are_not_there(number):
    with pytest.raises(
        errors.UsageError, match=f"{number} devices were asked for, and this host has 1"
    ):
        devices.spread(5, 2, number)


def test_an_array_on_no_mesh_is_refused():
    with pytest.raises(TypeError, match="is not on the devices of a mesh"):
        devices.mesh_of(jnp.zeros(2))


@pytest.mark.campaign
def test_number_of_devices_changes_no_bit(tmp_path):
    rng = np.random.default_rng(0)
    with writing.Writer(tmp_path / "store", MODEL) as writer:
        for name, shape in format.array_shapes(MODEL).items():
            writer.write(name, rng.normal(0, 0.3, shape).astype(np.float32))
        writer.publish({})
    documents = [rng.integers(4, 20, 38).tolist() for _ in range(7)]
    source = planted.write_documents(tmp_path / "text.jsonl", documents)
    found = _run_on_eight_devices(tmp_path)
    record = studies.run_study(
        tmp_path / "study",
        tmp_path / "store",
        [("text", source)],
        window=16,
        windows_per_batch=2,
    )
    # The last of 10 parts lacks a window; 3 and 8 devices lack parts in the last of several batches.
    assert len(record.read("tokens")) == 19
    digests = studies.digests(record.path)
    for name, digest in found.items():
        assert digest == digests, name


def _run_on_eight_devices(folder):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path]),
    }
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.devices_script", folder],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)

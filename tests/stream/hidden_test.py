"""The residual stream between layers and its copies: the same bits after a restart, or none at all."""

import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import devices, errors
from jaxneurons.stream import hidden
from tests.support import cases

SHAPE = (2, 3, 5)
BATCHES = 4
LAST = 9


def open_checkpoint(folder, dtype="float32", minutes=0.0, shape=SHAPE):
    placement = devices.sharded(devices.make_mesh(1))
    return hidden.Checkpoint(folder, shape, jnp.dtype(dtype), placement, minutes, LAST)


def stream(layer, dtype="float32"):
    """Batches after a layer."""
    random = np.random.default_rng(layer)
    shape = (BATCHES, *SHAPE)
    return list(jnp.asarray(random.standard_normal(shape, np.float32)).astype(dtype))


def save(folder, layer, batches):
    """Copies batches after a layer and gives their digests."""
    with open_checkpoint(folder, batches[0].dtype) as checkpoint:
        checkpoint.begin(layer)
        for index, batch in enumerate(batches):
            checkpoint.save(layer, index, batch)
        return checkpoint.finish_layer(layer)


def load(folder, layer, digests, dtype="float32"):
    """What a new process finds; None where it must begin anew."""
    with open_checkpoint(folder, dtype) as checkpoint:
        if not checkpoint.resume(layer, digests):
            return None
        return [checkpoint.read(layer, batch) for batch in range(len(digests))]


@cases.each("dtype", ["float32", "float16", "bfloat16"])
def test_the_bits_come_back_in_another_process_life(tmp_path, dtype):
    batches = stream(0, dtype)
    found = load(tmp_path, 0, save(tmp_path, 0, batches), dtype)
    assert len(found) == BATCHES
    for batch, copy in zip(batches, found, strict=True):
        assert copy.shape == SHAPE and copy.dtype == batch.dtype
        assert copy.tobytes() == np.asarray(batch).tobytes()


def test_infinity_and_nan_come_back_too(tmp_path):
    batch = jnp.array([np.nan, np.inf, -0.0, 1.0]).reshape(1, 1, 4)
    with open_checkpoint(tmp_path, shape=(1, 1, 4)) as checkpoint:
        checkpoint.begin(0)
        checkpoint.save(0, 0, batch)
        assert checkpoint.resume(0, checkpoint.finish_layer(0))
        assert checkpoint.read(0, 0).tobytes() == np.asarray(batch).tobytes()


def run_layers(checkpoint, layers, named=None):
    """Copies the layers that are due; gives which."""
    copied = []
    for layer in layers:
        checkpoint.begin(layer, named)
        for index, batch in enumerate(stream(layer)):
            checkpoint.save(layer, index, batch)
        if checkpoint.finish_layer(layer):
            copied.append(layer)
    return copied


def test_the_copy_before_stands_until_the_next_one_but_one_begins(tmp_path):
    with open_checkpoint(tmp_path) as checkpoint:
        assert run_layers(checkpoint, range(3)) == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["hidden_001.bin", "hidden_002.bin"]


def test_the_copy_that_a_killed_run_would_resume_from_stands(tmp_path):
    with open_checkpoint(tmp_path) as checkpoint:
        assert run_layers(checkpoint, range(4), named=0) == [0, 1, 2, 3]
        kept = ["hidden_000.bin", "hidden_002.bin", "hidden_003.bin"]
        assert sorted(os.listdir(tmp_path)) == kept
        run_layers(checkpoint, [4], named=3)
    assert sorted(os.listdir(tmp_path)) == ["hidden_003.bin", "hidden_004.bin"]


def test_a_resumed_run_keeps_the_copy_that_it_began_with(tmp_path):
    digests = save(tmp_path, 3, stream(3))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.resume(3, digests)
        checkpoint.begin(4)
    assert load(tmp_path, 3, digests) is not None


def test_what_nothing_reads_is_not_copied(tmp_path):
    with open_checkpoint(tmp_path) as checkpoint:
        assert run_layers(checkpoint, range(LAST - 1, LAST + 1)) == [LAST - 1]


@cases.each("minutes", [60.0, math.inf])
def test_no_copy_before_its_time(tmp_path, minutes):
    with open_checkpoint(tmp_path, minutes=minutes) as checkpoint:
        assert run_layers(checkpoint, range(3)) == []
    assert not os.listdir(tmp_path)


def test_copies_come_after_the_time_asked_for(tmp_path):
    with open_checkpoint(tmp_path, minutes=1e-9) as checkpoint:
        assert run_layers(checkpoint, range(1)) == [0]


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped": _flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "missing": os.unlink,
}


@pytest.mark.fault(case=24)
@cases.each("damage", DAMAGE)
def test_a_damaged_copy_counts_as_missing(tmp_path, damage):
    digests = save(tmp_path, 0, stream(0))
    (path,) = tmp_path.iterdir()
    DAMAGE[damage](path)
    assert load(tmp_path, 0, digests) is None


@pytest.mark.fault(case=13)
def test_a_full_disk_is_one_line_and_the_next_layer_can_be_copied(tmp_path):
    full = tmp_path / "hidden_000.bin"
    with open_checkpoint(tmp_path) as checkpoint:
        checkpoint.begin(0)
        full.symlink_to("/dev/full")
        for index, batch in enumerate(stream(0)):
            checkpoint.save(0, index, batch)
        with pytest.raises(errors.InputOutputError) as caught:
            checkpoint.finish_layer(0)
        message = str(caught.value)
        assert message.startswith(f"cannot write {full}: No space left on device")
        assert "(120 bytes needed, " in message and message.endswith(" free)")
        assert run_layers(checkpoint, [1]) == [1]


@pytest.mark.fault(case=13)
def test_a_full_disk_stops_the_layer_and_not_its_end(tmp_path):
    with open_checkpoint(tmp_path) as checkpoint:
        checkpoint.begin(0)
        (tmp_path / "hidden_000.bin").symlink_to("/dev/full")
        with pytest.raises(errors.InputOutputError, match="No space left"):
            for batch in range(100):
                checkpoint.save(0, batch, stream(0)[0])
        assert batch < 10


def test_a_refusal_to_read_is_one_line(tmp_path):
    (tmp_path / "hidden_000.bin").mkdir()
    with pytest.raises(errors.InputOutputError, match="read .*: Is a directory$"):
        load(tmp_path, 0, ["0"])


@cases.each("kind", ["memory", "host", "disk"])
def test_batches_come_back_where_they_belong(tmp_path, kind):
    with open_checkpoint(tmp_path) as checkpoint:
        states = {
            "memory": lambda: hidden.InMemory(checkpoint),
            "host": lambda: hidden.OnHost(checkpoint, BATCHES),
            "disk": lambda: hidden.OnDisk(checkpoint, BATCHES),
        }[kind]()
        for layer in range(3):
            checkpoint.begin(layer)
            for index in range(BATCHES):
                if layer:
                    x = states.take(layer, index)
                    assert x.sharding == checkpoint.sharding
                    np.testing.assert_array_equal(x, stream(layer - 1)[index])
                x = jax.device_put(stream(layer)[index], checkpoint.sharding)
                states.put(layer, index, x)
            assert checkpoint.resume(layer, states.finish_layer(layer))


@cases.each("kind", [hidden.OnHost, hidden.OnDisk])
def test_a_resumed_run_reads_the_copy(tmp_path, kind):
    digests = save(tmp_path, 0, stream(0))
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.resume(0, digests)
        states = kind(checkpoint, BATCHES)
        for index, wanted in enumerate(stream(0)):
            np.testing.assert_array_equal(states.take(1, index), wanted)
        _flip(checkpoint.path(0))
        with pytest.raises(errors.StudyError, match="not as it was written"):
            states.take(1, BATCHES - 1)

"""The copy of the residual stream: the same bits after a restart, or none at all."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.stream import hidden

SHAPE = (2, 3, 5)
BATCHES = 4


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_bits_come_back_in_another_process_life(tmp_path, dtype):
    batches = stream(0, dtype)
    checksums = save(tmp_path, 0, batches)
    found = load(tmp_path, 0, checksums, dtype)
    assert len(found) == BATCHES
    for batch, copy in zip(batches, found, strict=True):
        assert copy.shape == SHAPE and copy.dtype == batch.dtype
        assert copy.tobytes() == np.asarray(batch).tobytes()


def test_infinity_and_nan_come_back_too(tmp_path):
    batch = jnp.array([np.nan, np.inf, -0.0, 1.0]).reshape(1, 1, 4)
    with hidden.Checkpoint(tmp_path, (1, 1, 4), np.float32) as checkpoint:
        checkpoint.save(0, 0, batch)
        assert checkpoint.holds(0, checkpoint.finish_layer())
        copy, _ = checkpoint.file(0).read(0)
    assert copy.tobytes() == np.asarray(batch).tobytes()


def test_two_files_take_turns(tmp_path):
    checksums = [save(tmp_path, layer, stream(layer)) for layer in range(3)]
    assert len(os.listdir(tmp_path)) == 2
    assert load(tmp_path, 0, checksums[0]) is None
    for layer in (1, 2):
        found = load(tmp_path, layer, checksums[layer])
        np.testing.assert_array_equal(found, stream(layer))


def test_a_copy_stands_while_the_next_is_half_written(tmp_path):
    checksums = save(tmp_path, 0, stream(0))
    save(tmp_path, 1, stream(1)[:2])
    np.testing.assert_array_equal(load(tmp_path, 0, checksums), stream(0))


@pytest.mark.parametrize(
    ("every", "copied"), [(1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5]), (3, [2, 5]), (0, [])]
)
def test_every_so_many_layers_are_copied(tmp_path, every, copied):
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32, every) as checkpoint:
        done = []
        for layer in range(6):
            for index, batch in enumerate(stream(layer)):
                checkpoint.save(layer, index, batch)
            if checksums := checkpoint.finish_layer():
                done.append(layer)
                assert checkpoint.holds(layer, checksums)
    assert done == copied
    assert len(os.listdir(tmp_path)) == min(2, len(copied))


def test_no_copies_means_none_to_load(tmp_path):
    checksums = save(tmp_path, 0, stream(0))
    assert load(tmp_path, 0, checksums, every=0) is None


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
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_copy_counts_as_missing(tmp_path, damage):
    checksums = save(tmp_path, 0, stream(0))
    (path,) = tmp_path.iterdir()
    DAMAGE[damage](path)
    assert load(tmp_path, 0, checksums) is None


@pytest.mark.fault(case=13)
def test_a_full_disk_surfaces_once_when_all_copies_have_ended(tmp_path):
    full = tmp_path / "hidden_1.bin"
    full.symlink_to("/dev/full")
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32) as checkpoint:
        for index, batch in enumerate(stream(0)):
            checkpoint.save(0, index, batch)
        pending = list(checkpoint._pending)
        with pytest.raises(errors.InputOutputError) as caught:
            checkpoint.finish_layer()
        assert all(copy.done() for copy in pending)
        message = str(caught.value)
        assert message.startswith(f"cannot write {full}: No space left on device")
        assert "(120 bytes needed, " in message and message.endswith(" free)")
        for index, batch in enumerate(stream(1)):
            checkpoint.save(1, index, batch)
        assert len(checkpoint.finish_layer()) == BATCHES


def test_a_refusal_to_read_is_one_line(tmp_path):
    (tmp_path / "hidden_1.bin").mkdir()
    with pytest.raises(errors.InputOutputError, match="read .*: Is a directory$"):
        load(tmp_path, 0, [1])


def test_leaving_ends_the_thread(tmp_path):
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32) as checkpoint:
        checkpoint.save(0, 0, stream(0)[0])
    with pytest.raises(RuntimeError, match="after shutdown"):
        checkpoint.save(0, 1, stream(0)[1])


def save(folder, layer, batches):
    """Copies batches after a layer and gives the checksums."""
    with hidden.Checkpoint(folder, SHAPE, batches[0].dtype) as checkpoint:
        for index, batch in enumerate(batches):
            checkpoint.save(layer, index, batch)
        return checkpoint.finish_layer()


def load(folder, layer, checksums, dtype="float32", every=1):
    """What a new process finds."""
    with hidden.Checkpoint(folder, SHAPE, jnp.dtype(dtype), every) as checkpoint:
        if not checkpoint.holds(layer, checksums):
            return None
        file = checkpoint.file(layer)
        return [file.read(batch)[0] for batch in range(len(checksums))]


def stream(layer, dtype="float32"):
    """Batches after a layer."""
    random = np.random.default_rng(layer)
    shape = (BATCHES, *SHAPE)
    return list(jnp.asarray(random.standard_normal(shape, np.float32)).astype(dtype))


def test_a_full_disk_stops_the_layer_and_not_its_end(tmp_path):
    (tmp_path / "hidden_1.bin").symlink_to("/dev/full")
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32) as checkpoint:
        with pytest.raises(errors.InputOutputError, match="No space left"):
            for batch in range(100):
                checkpoint.save(0, batch, stream(0)[0])
        assert batch == hidden.MOST_WAITING


@pytest.mark.parametrize("kind", [hidden.OnHost, hidden.OnDisk])
def test_batches_come_back_where_they_belong(tmp_path, kind):
    mesh = jax.make_mesh((1,), ("windows",))
    spec = jax.sharding.PartitionSpec("windows")
    placement = jax.sharding.NamedSharding(mesh, spec)
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32, 1, placement) as checkpoint:
        states = kind(checkpoint, BATCHES)
        for layer in range(3):
            if layer:
                for index, wanted in enumerate(stream(layer - 1)):
                    x = states.take(layer, index)
                    assert x.sharding == placement
                    np.testing.assert_array_equal(x, wanted)
                    states.put(layer, index, stream(layer)[index])
            else:
                for index, x in enumerate(stream(0)):
                    states.put(layer, index, x)
            assert checkpoint.holds(layer, states.finish_layer())


@pytest.mark.parametrize("kind", [hidden.OnHost, hidden.OnDisk])
def test_a_resumed_run_reads_the_copy(tmp_path, kind):
    save(tmp_path, 0, stream(0))
    with hidden.Checkpoint(tmp_path, SHAPE, np.float32) as checkpoint:
        states = kind(checkpoint, BATCHES)
        for index, wanted in enumerate(stream(0)):
            np.testing.assert_array_equal(states.take(1, index), wanted)

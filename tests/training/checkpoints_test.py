"""Checkpoints: what was saved comes back, what rotates goes, and what is damaged or not ours is refused."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.training import checkpoints

# Reads that orbax abandons beside a failed one may complain after our error is out.
NOISE = "ignore::pytest.PytestUnraisableExceptionWarning"


def tree(value):
    # Not to be compressed, so that a flipped bit decodes to another number.
    noise = np.random.default_rng(abs(value)).normal(size=(400, 30)).astype(np.float32)
    return {"a": jnp.asarray(noise), "b": {"c": jnp.int32(value)}}


def wanted(like):
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), like
    )


@pytest.fixture
def folder(tmp_path):
    with checkpoints.Writer(tmp_path / "saved", "run", keep=[2]) as writer:
        for step in (1, 2, 3, 4):
            writer.save(step, {"one": tree(step), "two": tree(-step)})
    return tmp_path / "saved"


def load(folder, step=4, run="run", **items):
    items = items or {"one": tree(0), "two": tree(0)}
    return checkpoints.load(folder, run, step, wanted(items))


def test_kept_and_last_two_come_back(folder):
    assert checkpoints.saved_steps(folder) == [2, 3, 4]
    for step in (2, 4):
        found = load(folder, step)
        jax.tree.map(np.testing.assert_array_equal, found["one"], tree(step))
        jax.tree.map(np.testing.assert_array_equal, found["two"], tree(-step))
    assert list(load(folder, two=tree(0))) == ["two"]


def test_saved_is_what_was_there_when_save_returned(tmp_path):
    change = jax.jit(lambda x: x + 1, donate_argnums=0)
    value = jnp.zeros(200_000)
    with checkpoints.Writer(tmp_path, "run") as writer:
        writer.save(1, {"one": value})
        for _ in range(20):
            value = change(value)
    found = load(tmp_path, 1, one=jnp.zeros(200_000))
    np.testing.assert_array_equal(found["one"], 0)


def test_checksum_differs_with_any_element():
    plain = np.arange(1000, dtype=np.float32)
    first = checkpoints.checksums(jnp.asarray(plain))
    for place in (0, 500, 999):
        for bit in (0, 31):
            changed = plain.copy().view(np.uint32)
            changed[place] ^= np.uint32(1 << bit)
            other = checkpoints.checksums(jnp.asarray(changed.view(np.float32)))
            assert int(other) != int(first)


@pytest.mark.fault(case=27)
@pytest.mark.fault(case=30)
def test_an_interrupt_waits_until_a_checkpoint_is_whole(tmp_path, monkeypatch, request):
    # A shell has its jobs in the background ignore Ctrl-C, and then nothing would wait.
    handler = signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt), checkpoints.Writer(tmp_path, "r") as saved:
        save = saved._checkpointer.save_checkpointables_async

        def interrupted(*arguments, **options):
            signal.raise_signal(signal.SIGINT)
            return save(*arguments, **options)

        monkeypatch.setattr(
            saved._checkpointer, "save_checkpointables_async", interrupted
        )
        saved.save(4, {"parameters": tree(1)})
    assert checkpoints.saved_steps(tmp_path) == [4]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.fault(case=30)
def test_another_run_is_refused(folder):
    with pytest.raises(errors.CheckpointError, match="saved/4: .* of another run"):
        load(folder, run="other")


@pytest.mark.fault(case=30)
@pytest.mark.filterwarnings(NOISE)
def test_another_architecture_is_refused(folder):
    other = tree(0) | {"a": jnp.zeros((401, 30))}
    with pytest.raises(errors.CheckpointError, match="saved/4: .*another architecture"):
        load(folder, one=other)
    with pytest.raises(errors.CheckpointError, match="saved/4: .*another architecture"):
        load(folder, one=tree(0) | {"d": jnp.zeros(3)})


def largest_file(folder):
    return max(
        (path for path in folder.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.fault(case=30)
@pytest.mark.filterwarnings(NOISE)
@pytest.mark.parametrize("damage", [flip, cut, lambda path: path.unlink()])
def test_damage_is_found(folder, damage):
    for file in sorted((folder / "4" / "one").rglob("*")):
        if not file.is_file() or not file.stat().st_size:
            continue
        content = file.read_bytes()
        damage(file)
        try:
            found = load(folder)
        except errors.CheckpointError as error:
            assert "saved/4: damaged" in str(error)
            assert "\n" not in str(error)
        else:
            # Nothing that matters was in there.
            jax.tree.map(np.testing.assert_array_equal, found["one"], tree(4))
        file.write_bytes(content)
    data = largest_file(folder / "4" / "one" / "d")
    damage(data)
    with pytest.raises(errors.CheckpointError):
        load(folder)


@pytest.mark.fault(case=30)
def test_half_written_is_never_picked_up(folder):
    (folder / "5.orbax-checkpoint-tmp").mkdir()
    (folder / "5.orbax-checkpoint-tmp" / "one").mkdir()
    assert checkpoints.saved_steps(folder) == [2, 3, 4]
    with checkpoints.Writer(folder, "run", keep=[2]) as writer:
        writer.save(5, {"one": tree(5), "two": tree(-5)})
    assert not (folder / "5.orbax-checkpoint-tmp").exists()
    assert checkpoints.saved_steps(folder) == [2, 4, 5]
    assert int(load(folder, 5)["one"]["b"]["c"]) == 5


@pytest.mark.fault(case=30)
def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(errors.InputOutputError, match="cannot write .*file"),
        checkpoints.Writer(tmp_path / "file", "run") as writer,
    ):
        writer.save(1, {"one": tree(1)})

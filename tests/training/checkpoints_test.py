"""Checkpoints: what was saved comes back, what rotates goes, and damage is one clear error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.training import checkpoints
from tests.support import cases

# orbax reads all arrays at once; reads that it abandons after a failed one complain later.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


def tree(value):
    noise = np.random.default_rng(abs(value)).normal(size=(400, 30)).astype(np.float32)
    return {"a": jnp.asarray(noise), "b": {"c": jnp.int32(value)}}


def abstract(like):
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
    return checkpoints.load(folder, run, step, abstract(items))


def assert_equal(found, step):
    saved = {"one": tree(step), "two": tree(-step)}
    jax.tree.map(np.testing.assert_array_equal, found, saved)


def test_kept_and_last_two_come_back(folder):
    assert checkpoints.saved_steps(folder) == [2, 3, 4]
    for step in (2, 4):
        assert_equal(load(folder, step), step)
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


@pytest.mark.fault(case=30)
def test_another_run_is_refused(folder):
    with pytest.raises(errors.CheckpointError, match="4 is a checkpoint of another"):
        load(folder, run="other")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.fault(case=30)
@cases.each("damage", [flip, cut, lambda path: path.unlink()])
def test_damage_is_one_error_or_changes_nothing(folder, damage):
    found = {}
    for file in sorted((folder / "4").rglob("*")):
        if not file.is_file() or not file.stat().st_size:
            continue
        content = file.read_bytes()
        damage(file)
        try:
            loaded = load(folder)
        except errors.CheckpointError as error:
            assert "saved/4 is damaged" in str(error)
            found[file] = len(content)
        else:
            assert_equal(loaded, 4)
        file.write_bytes(content)
    # The arrays' values are in the largest files, of which each item has one.
    assert (
        sorted(found.values())[-2:]
        == sorted(
            file.stat().st_size for file in (folder / "4").rglob("*") if file.is_file()
        )[-2:]
    )


@pytest.mark.fault(case=30)
def test_half_written_is_never_picked_up(folder):
    (folder / "5.orbax-checkpoint-tmp" / "one").mkdir(parents=True)
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

"""One zarr3 array: what is written comes back, whatever is wrong is said, nothing is under way after a failure."""

import contextlib
import os
import pathlib
import resource

import ml_dtypes
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.disk import arrays
from tests.support import cases

DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint16")


@cases.each("dtype", DTYPES)
def test_elements_come_back_bit_for_bit(tmp_path, dtype):
    random = np.random.default_rng(0)
    for shape in ((5,), (5, 3), (2, 5, 3), (0, 3)):
        data = random.integers(-9, 9, shape).astype(_numpy(dtype))
        array = Written(tmp_path / str(shape), data, chunk=[2] * len(shape))
        found = arrays.read(array.open(), "a", errors.StoreError)
        assert found.dtype == data.dtype and found.shape == shape
        assert found.tobytes() == data.tobytes()


@pytest.mark.fault(case=26)
def test_any_path_will_do(tmp_path):
    data = np.arange(6, dtype=np.int32)
    names = ["a b", "ü中", "a%20b", "a#b?c", "-x", "x" * 255]
    for name in [*names, "a b/../-x"]:
        array = Written(tmp_path / name, data, chunk=[2])
        found = arrays.read(array.open(), name, errors.StoreError)
        np.testing.assert_array_equal(found, data, name)
    assert set(os.listdir(tmp_path)) == set(names)


@pytest.mark.fault(case=26)
def test_a_path_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="the path is not UTF-8"):
        arrays.kvstore(tmp_path / os.fsdecode(b"\xff"))


def test_chunks_are_files_of_one_folder_so_that_they_are_synced_with_it(tmp_path):
    Written(tmp_path / "a", np.zeros((4, 2), np.int32), chunk=[2, 2])
    assert sorted(os.listdir(tmp_path / "a")) == ["c.0.0", "c.1.0", "zarr.json"]


def test_elements_equal_to_the_fill_value_are_stored(tmp_path):
    Written(tmp_path / "a", np.full(4, -1, np.int32), chunk=[2], fill_value=-1)
    assert (tmp_path / "a" / "c.1").stat().st_size == 2 * 4 + 4


def test_digest_is_of_the_elements_whatever_their_strides():
    data = np.arange(12, dtype=np.int16).reshape(3, 4)
    assert arrays.digest(data.T) == arrays.digest(np.ascontiguousarray(data.T))
    assert arrays.digest(data.T) != arrays.digest(data)


def test_write_gives_the_digest_of_what_it_wrote(tmp_path):
    data = np.arange(6, dtype=np.int64)
    assert Written(tmp_path / "a", data, chunk=[4]).elements == arrays.digest(data)


def _flip(path: pathlib.Path, place: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _truncate(path: pathlib.Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


DAMAGE = {
    "flipped data": lambda folder: _flip(folder / "c.1"),
    "flipped checksum": lambda folder: _flip(folder / "c.1", -1),
    "truncated": lambda folder: _truncate(folder / "c.1"),
    "emptied": lambda folder: (folder / "c.1").write_bytes(b""),
    "lost chunk": lambda folder: (folder / "c.1").unlink(),
    "flipped metadata": lambda folder: _flip(folder / "zarr.json", 30),
    "lost metadata": lambda folder: (folder / "zarr.json").unlink(),
    "all lost": lambda folder: [file.unlink() for file in folder.iterdir()],
}


@pytest.mark.fault(case=21)
@cases.each("damage", DAMAGE)
def test_damage_is_noticed(tmp_path, damage):
    array = Written(tmp_path / "a", np.arange(6, dtype=np.int32), chunk=[2])
    DAMAGE[damage](tmp_path / "a")
    with pytest.raises(errors.StoreError, match="^model: layer is damaged: [^\n]*$"):
        arrays.read(array.open("model: layer"), "model: layer", errors.StoreError)


@pytest.mark.fault(case=21)
def test_metadata_of_another_shape_is_not_believed(tmp_path):
    array = Written(tmp_path / "a", np.arange(6, dtype=np.int32), chunk=[2])
    other = Written(tmp_path / "b", np.arange(4, dtype=np.int32), chunk=[2])
    (tmp_path / "b" / "zarr.json").rename(tmp_path / "a" / "zarr.json")
    assert array.metadata_digest != other.metadata_digest
    with pytest.raises(errors.StoreError, match="a is damaged"):
        array.open()


def test_metadata_that_means_the_same_in_other_words_is_not_the_one_written(tmp_path):
    array = Written(tmp_path / "a", np.arange(6, dtype=np.int32), chunk=[2])
    with open(tmp_path / "a" / "zarr.json", "a") as file:
        file.write(" ")
    with pytest.raises(errors.StoreError, match="zarr.json is not the one written"):
        array.open()


@cases.each("name", ["c.1", "zarr.json"])
def test_a_refusal_of_the_system_is_not_taken_for_damage(tmp_path, name):
    array = Written(tmp_path / "a", np.arange(6, dtype=np.int32), chunk=[2])
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).symlink_to(name)
    with pytest.raises(errors.InputOutputError, match="read x: .*symbolic links"):
        arrays.read(array.open("x"), "x", errors.StoreError)


def test_a_failed_write_names_the_path_and_leaves_nothing_under_way(tmp_path):
    described = arrays.metadata((64, 4096), "int32", (1, 4096))
    target = arrays.create(arrays.kvstore(tmp_path / "a"), described)
    with _largest_file(1000), pytest.raises(errors.InputOutputError) as caught:
        arrays.write(target, np.ones((64, 4096), np.int32))
    assert str(tmp_path / "a") in str(caught.value)
    assert "File too large" in str(caught.value)
    assert os.listdir(tmp_path / "a") == ["zarr.json"]


@pytest.mark.fault(case=13)
def test_the_other_chunks_have_landed_when_a_write_of_one_fails(tmp_path):
    described = arrays.metadata((32, 2**18), "int32", (1, 2**18))
    target = arrays.create(arrays.kvstore(tmp_path / "a"), described)
    (tmp_path / "a" / "c.0.0.__lock").mkdir()
    with pytest.raises(errors.InputOutputError, match="a/: Is a directory"):
        arrays.write(target, np.ones((32, 2**18), np.int32))
    landed = {f"c.{row}.0" for row in range(1, 32)}
    assert set(os.listdir(tmp_path / "a")) == landed | {"c.0.0.__lock", "zarr.json"}


def test_a_failed_create_names_the_path(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    kvstore = arrays.kvstore(tmp_path / "file" / "a")
    with pytest.raises(errors.InputOutputError, match="write .*file/a/: Not a dir"):
        arrays.create(kvstore, arrays.metadata((1,), "int32", (1,)))


@contextlib.contextmanager
def _largest_file(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _numpy(dtype: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


class Written:
    """An array just written, and what it takes to open it."""

    def __init__(self, folder, data, chunk, fill_value=0):
        self.kvstore = arrays.kvstore(folder)
        self.described = arrays.metadata(data.shape, data.dtype.name, chunk, fill_value)
        target = arrays.create(self.kvstore, self.described)
        self.elements = arrays.write(target, data)
        self.metadata_digest = arrays.stored_metadata_digest(target)

    def open(self, what="a"):
        return arrays.open_checked(
            self.kvstore,
            self.described,
            self.metadata_digest,
            what,
            errors.StoreError,
        )

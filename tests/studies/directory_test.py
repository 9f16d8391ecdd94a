"""What is written into a study comes back or is refused, here and in xarray and zarr."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import xarray
import zarr

from jaxneurons import errors
from jaxneurons.studies import opening
from jaxneurons.studies.array import ArraySpec
from tests.support import cases, small_study
from tests.support.small_study import SPECS


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study of layers 0 and 1 of 3, of which layer 0 is done, written once."""
    path = tmp_path_factory.mktemp("template") / "study"
    small_study.create(path)
    study = opening.resume(path, small_study.IDENTITY)
    small_study.write_layer(study, 0)
    study.finish_layer(small_study.done(0), ["d1", "d2"])
    return path


@pytest.fixture
def path(template, tmp_path):
    """The study to change, under a name that is not easy on URLs and formats."""
    return shutil.copytree(template, tmp_path / "my study %20#é?")


@pytest.fixture
def plain_path(template, tmp_path):
    """The study under a plain name: some versions of xarray cut a path off at `#`."""
    return shutil.copytree(template, tmp_path / "study")


def test_what_is_written_comes_back(path):
    study = opening.open_any(path)
    small_study.write_layer(study, 1)
    for name in SPECS:
        np.testing.assert_array_equal(study.read(name), small_study.expected(name))
    for layer in (0, 1, 2):
        for name in ("count", "position_count", "bound"):
            wanted = small_study.expected_layer(name, layer)
            np.testing.assert_array_equal(study.read_layer(name, layer), wanted)


def test_xarray_opens_the_group_with_coordinates(plain_path):
    study = opening.open_any(plain_path)
    small_study.write_layer(study, 1)
    found = xarray.open_zarr(plain_path / "arrays", consolidated=False)
    assert found.attrs == {"domains": ["b", "a"]}
    for name, spec in SPECS.items():
        assert found[name].dims == spec.dimensions
        assert found[name].dtype == spec.dtype
        np.testing.assert_array_equal(found[name].values, small_study.expected(name))
    chosen = found["count"].sel(domain="a", layer=1, neuron=3)
    assert chosen == small_study.expected("count")[1, 1, 3]
    assert list(found["domain_or_all"].values) == ["b", "a", "all"]
    assert list(found["n"]) == [1, 2, 3] and list(found["layer"]) == [0, 1, 2]


def test_zarr_opens_the_group(path):
    study = opening.open_any(path)
    small_study.write_layer(study, 1)
    group = zarr.open_group(path / "arrays", mode="r")
    assert set(SPECS) < set(group.array_keys())
    fill_values = {"count": -1, "tokens": -1, "position_count": 0, "bound": np.nan}
    for name, fill_value in fill_values.items():
        np.testing.assert_array_equal(group[name][:], small_study.expected(name))
        found = group[name].metadata.fill_value
        assert found == pytest.approx(fill_value, nan_ok=True)


def test_layers_not_asked_for_are_stored_not_implied(path):
    assert (path / "arrays" / "count" / "c.0.2.0").is_file()
    assert (path / "arrays" / "position_count" / "c.0.2.0.0").is_file()


def test_an_empty_array_comes_back_and_opens_in_xarray(plain_path):
    study = opening.open_any(plain_path)
    study.create_array("candidate", (0, 2), ArraySpec(("candidate", "two"), "int32"))
    study.write_array("candidate", np.zeros((0, 2), np.int64))
    assert study.read("candidate").shape == (0, 2)
    found = xarray.open_zarr(plain_path / "arrays", consolidated=False)
    assert found["candidate"].shape == (0, 2)


def test_a_layer_that_is_not_written_is_said_to_be_missing(path):
    study = opening.open_any(path)
    with pytest.raises(errors.StudyError, match="count.* is (damaged|not written)"):
        study.read("count")
    with pytest.raises(errors.StudyError, match="count.* is (damaged|not written)"):
        study.read_layer("count", 1)
    with pytest.raises(errors.StudyError, match="has no array 'x'"):
        study.read("x")


@cases.each(
    "name, data",
    [
        ("count", np.zeros((5,), np.int64)),
        ("count", np.zeros((2, 3, 5), np.int64)),
        ("position_count", np.full((2, 4, 5), 2**16)),
        ("position_count", np.full((2, 4, 5), -1)),
        ("count", np.zeros((2, 5), np.float32)),
    ],
)
def test_nothing_is_broadcast_wrapped_around_or_rounded(path, name, data):
    with pytest.raises(errors.StudyError, match="does not fit"):
        opening.open_any(path).write_layer(name, 1, data)


def _flip(place):
    def flip(file: pathlib.Path) -> None:
        content = bytearray(file.read_bytes())
        content[place % len(content)] ^= 4
        file.write_bytes(content)

    return flip


CHANGES = {
    "first byte": _flip(0),
    "last byte": _flip(-1),
    "truncated": lambda file: os.truncate(file, 3),
    "emptied": lambda file: os.truncate(file, 0),
    "deleted": pathlib.Path.unlink,
}


@pytest.mark.fault(case=21)
@cases.each("change", CHANGES)
@cases.each("file", ["c.0.0.0", "zarr.json"], fresh="path")
def test_a_changed_array_is_named(path, file, change):
    CHANGES[change](path / "arrays" / "count" / file)
    with pytest.raises(errors.StudyError) as caught:
        opening.open_any(path).read_layer("count", 0)
    assert str(caught.value).startswith(f"{path}: arrays/count")
    assert "damaged" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.fault(case=21)
def test_swapped_layers_are_noticed(path):
    folder = path / "arrays" / "count"
    (folder / "c.0.0.0").rename(folder / "x")
    (folder / "c.0.2.0").rename(folder / "c.0.0.0")
    (folder / "x").rename(folder / "c.0.2.0")
    for layer in (0, 2):
        with pytest.raises(errors.StudyError, match=f"layer {layer}, is damaged"):
            opening.open_any(path).read_layer("count", layer)


@pytest.mark.fault(case=21)
@cases.each("change", CHANGES, fresh="path")
def test_a_changed_file_is_named(path, change):
    study = opening.open_any(path)
    with study.writing("partial/sums") as file:
        file.write(b"a study's sums")
    assert study.verified("partial/sums").read_bytes() == b"a study's sums"
    CHANGES[change](path / "partial" / "sums")
    with pytest.raises(errors.StudyError, match=r"partial/sums is (damaged|missing)"):
        study.verified("partial/sums")


@pytest.mark.fault(case=21)
def test_what_was_never_written_is_not_trusted(path):
    (path / "partial" / "sums").write_bytes(b"another study's")
    with pytest.raises(errors.StudyError, match="sums is damaged"):
        opening.open_any(path).verified("partial/sums")


@pytest.mark.fault(case=23)
def test_a_folder_in_place_of_a_file_is_one_line(path):
    (path / "partial" / "sums").mkdir()
    with pytest.raises(errors.InputOutputError, match="sums: Is a directory"):
        opening.open_any(path).verified("partial/sums")

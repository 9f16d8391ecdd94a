"""A study on disk: what is written comes back or is refused, here and in xarray and zarr; resume, locks, damage.

Cases 21 to 23, 25 and 26 of the design's list of faults, as far as they are the study directory's.
"""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.disk import manifest
from jaxneurons.studies import study, study_manifest
from jaxneurons.studies.study import ArraySpec
from tests.support import dying

IDENTITY = {
    "model": {"name": "tiny", "fingerprint": "f", "config": {"ffn_dim": 5}},
    "corpus": {"text": {"index": 0, "fingerprint": "t"}},
    "special_tokens": [1, 2],
    "settings": {"window": 4, "max_tokens": None},
    "versions": {"jax": "1"},
    "device": {"platform": "cpu"},
}
COUNT = ArraySpec(("domain", "layer", "neuron"), "int64")
SPECS = {
    "count": COUNT,
    "position_count": ArraySpec(("domain", "layer", "position", "neuron"), "uint16"),
    "bound": ArraySpec(("layer", "neuron"), "float64"),
    "tokens": ArraySpec(("window", "position"), "int32"),
}
SIZES = {"domain": 2, "layer": 3, "neuron": 5, "position": 4, "window": 7}
SHAPES = {n: tuple(SIZES[d] for d in spec.dimensions) for n, spec in SPECS.items()}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study of layers 0 and 1 of 3, of which layer 0 is done, written once."""
    path = tmp_path_factory.mktemp("template") / "study"
    create(path)
    record = study.resume(path, IDENTITY)
    write_layer(record, 0)
    record.finish_layer({"layer": 0, "seconds": 1.5}, [17, 4])
    return path


@pytest.fixture
def path(template, tmp_path):
    """The study to change, under a name that is not easy on URLs and formats."""
    return shutil.copytree(template, tmp_path / "my study %20#é?")


@pytest.fixture
def plain_path(template, tmp_path):
    """The study under a plain name: some versions of xarray cut a path off at `#`."""
    return shutil.copytree(template, tmp_path / "study")


def open_in_xarray(path):
    """The arrays of a study as a dataset; skips the test where xarray or zarr is absent."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    return xarray.open_dataset(path / "arrays", engine="zarr", consolidated=False)


def test_what_is_written_comes_back(path):
    record = study.open_study(path)
    write_layer(record, 1)
    for name in SPECS:
        np.testing.assert_array_equal(record.read(name), expected(name))
    for layer in (0, 1, 2):
        for name in ("count", "position_count", "bound"):
            wanted = np.take(
                expected(name), layer, SPECS[name].dimensions.index("layer")
            )
            np.testing.assert_array_equal(record.read_layer(name, layer), wanted)


def test_xarray_opens_the_group(plain_path):
    record = study.open_study(plain_path)
    write_layer(record, 1)
    found = open_in_xarray(plain_path)
    assert found.attrs == {"domains": ["a", "b"]}
    assert dict(found.sizes) == SIZES
    for name, spec in SPECS.items():
        assert found[name].dims == spec.dimensions
        assert found[name].dtype == spec.dtype
        np.testing.assert_array_equal(found[name].values, expected(name))


def test_zarr_opens_the_group(path):
    zarr = pytest.importorskip("zarr")
    record = study.open_study(path)
    write_layer(record, 1)
    group = zarr.open_group(path / "arrays", mode="r")
    assert sorted(group.array_keys()) == sorted(SPECS)
    for name in SPECS:
        np.testing.assert_array_equal(group[name][:], expected(name))
        assert group[name].metadata.fill_value == pytest.approx(
            {"count": -1, "tokens": -1, "position_count": 0, "bound": np.nan}[name],
            nan_ok=True,
        )


def test_layers_not_asked_for_are_stored_not_implied(path):
    assert (path / "arrays" / "count" / "c.0.2.0").is_file()
    assert (path / "arrays" / "position_count" / "c.0.2.0.0").is_file()


def test_an_empty_array_comes_back_and_opens_in_xarray(plain_path):
    record = study.open_study(plain_path)
    record.create_array("candidate", (0, 2), ArraySpec(("candidate", "two"), "int32"))
    record.write_array("candidate", np.zeros((0, 2), np.int64))
    assert record.read("candidate").shape == (0, 2)
    assert open_in_xarray(plain_path)["candidate"].shape == (0, 2)


def test_a_layer_that_is_not_written_is_said_to_be_missing(path):
    record = study.open_study(path)
    with pytest.raises(errors.StudyError, match="count.* is (damaged|not written)"):
        record.read("count")
    with pytest.raises(errors.StudyError, match="count.* is (damaged|not written)"):
        record.read_layer("count", 1)
    with pytest.raises(errors.StudyError, match="has no array 'x'"):
        record.read("x")


@pytest.mark.parametrize(
    ("name", "data"),
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
        study.open_study(path).write_layer(name, 1, data)


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
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["c.0.0.0", "zarr.json"])
def test_a_changed_array_is_named(path, file, change):
    CHANGES[change](path / "arrays" / "count" / file)
    with pytest.raises(errors.StudyError) as caught:
        study.open_study(path).read_layer("count", 0)
    assert str(caught.value).startswith(f"{path}: arrays/count")
    assert "damaged" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.fault(case=21)
def test_swapped_layers_are_noticed(path):
    folder = path / "arrays" / "count"
    (folder / "c.0.0.0").rename(folder / "x")
    (folder / "c.0.2.0").rename(folder / "c.0.0.0")
    (folder / "x").rename(folder / "c.0.2.0")
    for layer in (0, 2):
        with pytest.raises(
            errors.StudyError, match=f"count, layer {layer}, is damaged"
        ):
            study.open_study(path).read_layer("count", layer)


@pytest.mark.fault(case=23)
def test_torn_or_edited_study_json_is_never_trusted(path):
    content = (path / "study.json").read_bytes()
    torn = [content[:end] for end in range(0, len(content), 97)]
    edited = [content.replace(b'"asked"', b'"asked" '), content.replace(b"17", b"18")]
    for changed in (*torn, *edited, content + b"\n"):
        (path / "study.json").write_bytes(changed)
        with pytest.raises(errors.StudyError, match="study.json [^\n]*$"):
            study.resume(path, IDENTITY)


@pytest.mark.fault(case=22)
@pytest.mark.parametrize("version", [0, 1, 3, None])
def test_another_format_version_is_refused_with_both(path, version):
    entries = {"format": "jaxneurons-study", "format_version": version}
    (path / "study.json").write_text(json.dumps(entries))
    with pytest.raises(errors.FormatVersionError) as caught:
        study.open_study(path)
    assert f"version {version!r}, this code reads version 2" in str(caught.value)


EDITS = {
    "unknown key": lambda e: e.update(nonsense=1),
    "missing key": lambda e: e.pop("device"),
    "status": lambda e: e.update(status="done"),
    "status no string": lambda e: e.update(status=[]),
    "layers": lambda e: e.update(layers=[]),
    "asked": lambda e: e["layers"].update(asked=["0"]),
    "asked negative": lambda e: e["layers"].update(asked=[-1]),
    "done": lambda e: e["layers"].update(done={}),
    "done without layer": lambda e: e["layers"].update(done=[{}]),
    "resume_from": lambda e: e.update(resume_from=3),
    "resume_from without layer": lambda e: e.update(resume_from={"checksums": []}),
    "checksums": lambda e: e["resume_from"].update(checksums="17"),
    "arrays": lambda e: e.update(arrays=[]),
    "array elsewhere": lambda e: e["arrays"].update({"../x": e["arrays"]["count"]}),
    "entry": lambda e: e["arrays"].update(count=None),
    "entry key": lambda e: e["arrays"]["count"].pop("digests"),
    "shape": lambda e: e["arrays"]["count"].update(shape=[2, 3]),
    "shape no list": lambda e: e["arrays"]["count"].update(shape=6),
    "dimensions": lambda e: e["arrays"]["count"].update(dimensions=[1, 2, 3]),
    "digests": lambda e: e["arrays"]["count"].update(digests=[]),
    "dtype": lambda e: e["arrays"]["count"].update(dtype=3),
    "unknown dtype": lambda e: e["arrays"]["count"].update(dtype="object"),
    "rows": lambda e: e["arrays"]["tokens"].update(rows=0),
    "rows no integer": lambda e: e["arrays"]["tokens"].update(rows="4"),
    "rows of more parts": lambda e: e["arrays"]["tokens"].update(rows=4),
    "identity": lambda e: e.update(model=[]),
}


@pytest.mark.fault(case=22)
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_study_json_with_a_right_digest_is_refused_too(path, edit):
    entries = study_manifest.read(path)
    EDITS[edit](entries)
    sealed = manifest.seal(study_manifest.FORMAT, entries)
    (path / "study.json").write_bytes(sealed)
    with pytest.raises(errors.StudyError, match="study.json: [^\n]*$"):
        study.open_study(path)


@pytest.mark.parametrize("name", ["nothing", "file", "file/below"])
def test_what_is_no_study_is_said_to_be_none(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.StudyError, match="no study.json: not a study"):
        study.open_study(tmp_path / name)


def test_a_refusal_of_the_system_is_not_taken_for_damage(path):
    (path / "study.json").unlink()
    (path / "study.json").symlink_to("study.json")
    with pytest.raises(errors.InputOutputError, match="read .*symbolic links"):
        study.open_study(path)


# Creating: case 26, what is in the way is refused and untouched.


@pytest.mark.fault(case=26)
def test_creating_over_an_unfinished_study_points_to_resume(path):
    before = (path / "study.json").read_bytes()
    with pytest.raises(errors.OutputExistsError, match="--resume"):
        create(path)
    assert (path / "study.json").read_bytes() == before


def _finish(path):
    study.open_study(path).finish()


def _damage(path):
    (path / "study.json").write_bytes(b"{")


@pytest.mark.fault(case=26)
@pytest.mark.parametrize("change", [_finish, _damage])
def test_creating_over_another_study_is_refused(path, change):
    change(path)
    with pytest.raises(errors.OutputExistsError, match="exists: a study is never"):
        create(path)


@pytest.mark.fault(case=26)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_creating_over_something_else_is_refused(tmp_path, kind):
    path = tmp_path / "mine"
    if kind == "directory":
        path.mkdir()
    (path / "notes" if kind == "directory" else path).write_bytes(b"mine")
    with pytest.raises(errors.OutputExistsError, match="mine exists"):
        create(path)
    assert len(list(tmp_path.rglob("*"))) == (2 if kind == "directory" else 1)


@pytest.mark.fault(case=26)
def test_creating_that_fails_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        study.creating(tmp_path / "a", IDENTITY, [0]) as record,
    ):
        record.create_array("count", SHAPES["count"], COUNT)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


# Resuming.


def test_resume_knows_what_is_done(path):
    record = study.resume(path, IDENTITY)
    assert record.done_layers == [0] and record.asked_layers == [0, 1]
    assert record.manifest["resume_from"] == {"layer": 0, "checksums": [17, 4]}
    assert not record.complete


@pytest.mark.fault(case=25)
def test_all_differences_are_in_one_error(path):
    here = json.loads(json.dumps(IDENTITY))
    here["model"]["fingerprint"] = "other"
    here["settings"] |= {"window": 8, "max_tokens": 5}
    here["special_tokens"] = [2]
    here["corpus"]["code"] = {"index": 1}
    with pytest.raises(errors.MismatchError) as caught:
        study.resume(path, here)
    for phrase in (
        "model.fingerprint was 'f' and is now 'other'",
        "settings.window was 4 and is now 8",
        "settings.max_tokens was None and is now 5",
        "special_tokens was [1, 2] and is now [2]",
        "corpus.code was None and is now {'index': 1}",
    ):
        assert phrase in str(caught.value)
    assert "versions" not in str(caught.value)


@pytest.mark.fault(case=26)
def test_a_finished_study_is_not_resumed_and_loses_what_only_resuming_needs(path):
    study.open_study(path).finish()
    (path / "partial").mkdir()
    with pytest.raises(errors.OutputExistsError, match="nothing to resume"):
        study.resume(path, IDENTITY)
    assert not (path / "partial").exists()
    assert "resume_from" not in study.open_study(path).manifest


@pytest.mark.fault(case=26)
def test_two_processes_do_not_work_on_one_study(path):
    first, second = study.resume(path, IDENTITY), study.resume(path, IDENTITY)
    with first.locked():
        with (
            pytest.raises(errors.OutputExistsError, match="another process is work"),
            second.locked(),
        ):
            pytest.fail("the block must not run")
        write_layer(first, 1)
        first.finish_layer({"layer": 1}, [])
    with (
        pytest.raises(errors.OutputExistsError, match="has gone on with this study"),
        second.locked(),
    ):
        pytest.fail("the block must not run")
    with study.resume(path, IDENTITY).locked():
        pass


def test_an_error_of_the_block_is_not_taken_for_the_lock(path):
    with pytest.raises(BlockingIOError), study.resume(path, IDENTITY).locked():
        raise BlockingIOError


@pytest.mark.fault(case=23)
@pytest.mark.fault(case=24)
def test_killed_at_every_rename_and_sync_of_a_layer(path):
    """Whatever the k-th call, the layer is done and right, or not done and can be written again."""
    done = []
    for calls in range(100):
        is_done = dying.run(_write_layer_if_missing, path, calls=calls)
        record = study.resume(path, IDENTITY)
        done.append(record.done_layers)
        if is_done:
            break
    assert set(map(tuple, done[:-1])) <= {(0,), (0, 1)} and (0,) in map(tuple, done)
    assert record.done_layers[:2] == [0, 1]
    for name in SPECS:
        np.testing.assert_array_equal(record.read(name), expected(name))
    assert not [file for file in path.rglob("*") if "lock" in file.name]


def _write_layer_if_missing(path):
    record = study.resume(path, IDENTITY)
    if 1 not in record.done_layers:
        write_layer(record, 1)
        record.finish_layer({"layer": 1}, [5])


def expected(name):
    """What an array of the fixture holds once layers 0 and 1 are written."""
    spec, shape = SPECS[name], SHAPES[name]
    values = np.arange(np.prod(shape)).reshape(shape).astype(spec.dtype)
    if "layer" in spec.dimensions:
        fill = {"i": -1, "u": 0, "f": np.nan}[values.dtype.kind]
        np.moveaxis(values, spec.dimensions.index("layer"), 0)[2] = fill
    return values


def create(path):
    """Begins the study of the fixture."""
    with study.creating(path, IDENTITY, [0, 1]) as record:
        record.write_group({"domains": ["a", "b"]})
        for name, spec in SPECS.items():
            record.create_array(name, SHAPES[name], spec)
        record.write_array("tokens", expected("tokens"))


def write_layer(record, layer):
    """Writes a layer of every array that has layers."""
    for name, spec in SPECS.items():
        if "layer" in spec.dimensions:
            axis = spec.dimensions.index("layer")
            record.write_layer(name, layer, np.take(expected(name), layer, axis))

"""Stores and studies in an S3 and a GCS on loopback: written, killed, resumed, analyzed and read."""

import os
import pathlib
import shutil

import numpy as np
import pytest

import jaxneurons
from convert import export, opt
from jaxneurons import config, errors
from jaxneurons.analysis import analyze
from jaxneurons.disk import places
from jaxneurons.explorer import write
from jaxneurons.run.resources import Resources
from jaxneurons.store import random_model, reading, writing
from jaxneurons.studies import facts, opening
from tests.support import dying, object_stores, planted, stores, studies

MODEL = config.Config(
    vocab_size=20,
    hidden_size=32,
    ffn_dim=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=16,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model in Hugging Face's format, a text, and the store and the study of them on a disk."""
    folder = tmp_path_factory.mktemp("local")
    stored = random_model.write(folder / "random", MODEL)
    export.write_huggingface(reading.open_store(stored), folder / "model")
    opt.convert(folder / "model", folder / "store")
    documents = np.random.default_rng(0).integers(4, 20, (30, 20)).tolist()
    planted.write_documents(folder / "text.jsonl", documents)
    _study({}, folder, folder / "store", folder / "study")
    return folder


# The GCS starts at once; the S3 takes a quarter of a minute.
@pytest.fixture(
    scope="module",
    params=[pytest.param("s3", marks=pytest.mark.campaign), "gs"],
)
def server(request):
    """The scheme of a store that runs, and the variables that lead to it."""
    with object_stores.running(request.param) as variables:
        yield request.param, variables


@pytest.fixture
def place(server, request, tmp_path, monkeypatch):
    """A folder in the store, named after the test; what is worked on is below tmp_path."""
    monkeypatch.setenv("JAXNEURONS_CACHE", str(tmp_path / "cache"))
    name = request.node.name.partition("[")[0]
    return places.parse(f"{server[0]}://{object_stores.BUCKET}/{name}")


@pytest.mark.campaign
@pytest.mark.fault(case=31)
def test_killed_conversions(server, folder, place, tmp_path, campaign):
    random = np.random.default_rng(0)
    kills = 0
    for number in range(10 if campaign else 1):
        at = place / str(number)
        arguments = (server[1], folder / "model", at)
        kills += _killed(_convert, arguments, at, random, 2, campaign)
        if at.is_free():
            with pytest.raises(errors.StoreError, match="not a store"):
                reading.open_store(str(at))
            opt.convert(folder / "model", at)
        # Killed between its last two requests it leaves the marker, which means nothing any more.
        (at / places.MARKER).remove()
        stores.assert_same(_fetched(at, tmp_path / f"{number}"), folder / "store")
    print(f"case 31, {server[0]}: {kills} conversions killed")


@pytest.mark.fault(case=31)
def test_killed_studies(server, folder, place, tmp_path, campaign):
    if server[0] == "s3" and not campaign:
        pytest.skip("takes --campaign: this server is slow")
    random = np.random.default_rng(0)
    variables = server[1] | {"JAXNEURONS_CACHE": str(tmp_path / "cache")}
    kills = 0
    for number in range(5 if campaign else 1):
        at = place / str(number)
        arguments = (variables, folder, folder / "store", at)
        for again in range(3 if campaign else 1):
            kills += _killed(_study, arguments, at, random, 8, campaign)
            if again % 2 == 0:
                # As on another machine.
                shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        if not at.is_free() and not facts.read(at).complete:
            # As a run leaves it that is killed as soon as study.json is there.
            (at / places.MARKER).write(b"")
        _study({}, folder, folder / "store", at)
        studies.assert_same(_fetched(at, tmp_path / f"{number}"), folder / "study")
        assert list((tmp_path / "cache" / "studies").iterdir()) == []
    print(f"case 31, {server[0]}: {kills} kills of studies, nothing lost")


@pytest.fixture(scope="module")
def copies(server, folder, tmp_path_factory):
    """The store and the study, sent as they are to the object store; gives the address that they are in."""
    at = places.parse(f"{server[0]}://{object_stores.BUCKET}/copies")
    for path in sorted(folder.glob("st*/**/*")):
        if path.is_file():
            (at / path.relative_to(folder).as_posix()).write(path.read_bytes())
    return at


def test_what_is_there_is_read_as_on_a_disk(copies, folder, tmp_path):
    here, there = (jaxneurons.open_study(at / "study") for at in (folder, copies))
    assert there.neurons().equals(here.neurons())
    assert str(there.neuron(1, 2)) == str(here.neuron(1, 2))
    assert there.detectors(1).equals(here.detectors(1))
    name = "position_count"
    assert there.arrays[name].sel(layer=1).equals(here.arrays[name].sel(layer=1))
    model = jaxneurons.open_model(str(copies / "store"), cache=tmp_path)
    assert model.store == reading.open_store(str(copies / "store"))
    assert model.store.fingerprint == reading.open_store(folder / "store").fingerprint

    named = [("here", folder / "study"), ("there", copies / "study")]
    page = write.write(write.open_studies(named), tmp_path / "page")
    own, others = (
        sorted(p.name for p in page.parent.joinpath("data", at).glob("neurons/*/*"))
        for at in ("", "2")
    )
    assert own == others != []


def test_xarray_and_zarr_open_a_study(server, copies, folder, monkeypatch):
    # It would ask for the kind of bucket, in a way that the server for tests does not know.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    pytest.importorskip({"s3": "s3fs", "gs": "gcsfs"}[server[0]])
    import xarray
    import zarr

    address = str(copies / "study" / "arrays")
    options = {"gs": {"token": "anon"}}.get(server[0], {})
    there = xarray.open_zarr(address, storage_options=options)
    assert there.equals(xarray.open_zarr(folder / "study" / "arrays"))
    group = zarr.open_group(address, mode="r", storage_options=options)
    here = jaxneurons.open_study(folder / "study").arrays["activation_count"]
    np.testing.assert_array_equal(group["activation_count"][:], here.values)


def test_an_analysis_replaces_the_findings(copies, folder, tmp_path):
    wanted = analyze.Thresholds()
    shutil.copytree(folder / "study", tmp_path / "study")
    with studies.undrawn():
        for path in (tmp_path / "study", copies / "study"):
            analyze.analyze_again(opening.open_finished(path), None, wanted, None)
    found = _fetched(copies / "study", tmp_path / "found")
    studies.assert_same(found, tmp_path / "study")


def test_who_is_overtaken_publishes_nothing(place):
    with (
        pytest.raises(errors.OutputExistsError, match="never overwritten"),
        writing.Writer(place, MODEL) as writer,
    ):
        for name, array in random_model.arrays(MODEL):
            writer.write(name, array)
        # Another process takes this one for a killed one.
        (place / places.MARKER).write(b"another")
        writer.publish({})
    assert "manifest.json" not in place.files() != []


def test_a_file_is_replaced_if_it_is_the_one_known(place):
    file = place / "file"
    assert file.replace(None, b"one") and not file.replace(None, b"two")
    assert file.replace(b"one", b"two") and not file.replace(b"one", b"three")
    assert file.read() == b"two"
    with pytest.raises(FileNotFoundError):
        (place / "other").read()


def test_what_is_in_the_way_is_named(copies, folder, place, tmp_path):
    model = jaxneurons.open_model(folder / "store")
    text = jaxneurons.load_text(model, {"text": folder / "text.jsonl"}, window=8)
    for path in (copies / "study", copies):
        with pytest.raises(errors.OutputExistsError, match="never overwritten"):
            jaxneurons.study(model, text, path)
    with pytest.raises(errors.OutputExistsError, match="finished: nothing to resume"):
        jaxneurons.study(model, text, copies / "study", resume=True)
    with pytest.raises(errors.JaxneuronsError, match="no such bucket"):
        jaxneurons.open_study(str(place).replace("/bucket/", "/nowhere/"))
    with pytest.raises(errors.InputOutputError, match="there is no such bucket"):
        opt.convert(folder / "model", str(place).replace("/bucket/", "/nowhere/"))


def _convert(variables: dict[str, str], model: pathlib.Path, at: places.Place) -> None:
    os.environ.update(variables)
    opt.convert(model, at)


def _study(
    variables: dict[str, str],
    folder: pathlib.Path,
    stored: pathlib.Path | str,
    at: places.Folder,
) -> None:
    os.environ.update(variables)
    chosen = {"window": 8, "windows_per_batch": 8, "cache": folder / "texts"}
    with studies.undrawn():
        try:
            studies.run_study(
                at,
                stored,
                [("text", folder / "text.jsonl")],
                figures=True,
                resources=Resources(checkpoint_minutes=0),
                **chosen,
            )
        except errors.OutputExistsError as error:
            # Killed in its last moment, it was finished.
            assert "nothing to resume" in str(error)


def _killed(target, arguments, at, random, seconds, campaign) -> bool:
    """Kills a process at a random instant, or every day as soon as study.json is there."""
    if campaign:
        return not dying.run(target, *arguments, seconds=random.uniform(0, seconds))
    return not dying.run(target, *arguments, until=lambda: facts.NAME in at.files())


def _fetched(at: places.Place, folder: pathlib.Path) -> pathlib.Path:
    """All files of a place, in a local folder."""
    for name in at.files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((at / name).read())
    return folder

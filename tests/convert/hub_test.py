"""From a name to a directory: local ones as they are, ids through a stub of the hub on loopback."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from convert import hub
from jaxneurons import errors
from jaxneurons.store import reading
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import cases, stub_hub, tiny_models


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    process = stub_hub.Remote(tmp_path_factory.mktemp("hub"))
    yield process
    process.close()


@pytest.fixture
def remote(process):
    """With an empty cache, and no hub until one is served."""
    return emptied(process)


def emptied(remote):
    remote.stop()
    shutil.rmtree(remote.cache, ignore_errors=True)
    return remote


def model_files(tmp_path, **options):
    """A tiny model's files with some that are not for us."""
    directory = tiny_models.write(
        tiny_models.random_model(), tmp_path / "source", **options
    )
    extra = {
        "flax_model.msgpack": b"flax",
        "tf_model.h5": b"tensorflow",
        "modeling_opt.py": b"raise SystemExit",
        "vocab.json": b'{"a": 0}',
        "merges.txt": b"#version: 0.2\n",
    }
    contents = {path.name: path.read_bytes() for path in directory.iterdir()}
    return contents | extra


def test_safetensors_alone_are_downloaded_where_there_are_both(remote, tmp_path):
    contents = model_files(tmp_path, shards=2)
    remote.serve(contents | {"pytorch_model.bin": b"torch"})
    directory = remote.resolve("tiny/opt")
    unwanted = {"flax_model.msgpack", "tf_model.h5", "modeling_opt.py"}
    found = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert sorted(remote.downloads) == sorted(found)
    assert found == {name: contents[name] for name in contents.keys() - unwanted}


def test_bin_is_downloaded_where_there_is_nothing_else(remote, tmp_path):
    remote.serve(model_files(tmp_path, shards=2, suffix=".bin"))
    directory = remote.resolve("tiny/opt")
    shards = {f"pytorch_model-0000{shard}-of-00002.bin" for shard in (1, 2)}
    others = {"config.json", "pytorch_model.bin.index.json", "vocab.json", "merges.txt"}
    assert {path.name for path in directory.iterdir()} == shards | others
    assert len(remote.downloads) == len(set(remote.downloads))


def test_shards_are_downloaded_from_wherever_the_index_says(remote, tmp_path):
    contents = model_files(tmp_path)
    weights = contents.pop("model.safetensors")
    index = {"weight_map": {"a": "weights/part-[1].safetensors"}}
    contents["model.safetensors.index.json"] = json.dumps(index).encode()
    contents["weights/part-[1].safetensors"] = weights
    remote.serve(contents)
    found = remote.resolve("tiny/opt") / "weights" / "part-[1].safetensors"
    assert found.read_bytes() == weights


@cases.each("suffix", [".safetensors", ".bin"])
def test_a_cached_model_needs_no_network(remote, tmp_path, suffix):
    contents = model_files(tmp_path, suffix=suffix)
    if suffix == ".bin":
        # Nor does one that has no tokenizer.
        del contents["vocab.json"], contents["merges.txt"]
    emptied(remote).serve(contents)
    directory = remote.resolve("tiny/opt")
    remote.stop()
    assert remote.resolve("tiny/opt") == directory
    with pytest.raises(errors.InputOutputError, match=r"tiny/other: .*no such dir"):
        remote.resolve("tiny/other")


@pytest.mark.campaign
@pytest.mark.fault(case=2)
@cases.each("lost", ["weights", "a shard", "what a shard links to"])
def test_a_part_of_a_model_in_the_cache_is_no_model_where_the_hub_is_out_of_reach(
    remote, tmp_path, lost
):
    emptied(remote).serve(model_files(tmp_path, shards=2))
    directory = remote.resolve("tiny/opt")
    # As older releases of the library leave the cache, or a download of single files.
    shutil.rmtree(directory.parents[1] / "trees", ignore_errors=True)
    shard = directory / "model-00002-of-00002.safetensors"
    if lost == "weights":
        for path in directory.glob("model*"):
            path.unlink()
    elif lost == "a shard":
        shard.unlink()
    else:
        shard.resolve().unlink()
    remote.stop()
    with pytest.raises(errors.InputOutputError, match="cannot be downloaded"):
        remote.resolve("tiny/opt")
    remote.serve(model_files(tmp_path, shards=2))
    assert remote.resolve("tiny/opt") == directory and shard.exists()


def test_a_model_without_weights_on_the_hub_is_taken_as_it_is(remote, tmp_path):
    contents = model_files(tmp_path)
    remote.serve({"config.json": contents["config.json"], "adapter_config.json": b"{}"})
    directory = remote.resolve("https://huggingface.co/tiny/opt")
    assert sorted(path.name for path in directory.iterdir()) == [
        "adapter_config.json",
        "config.json",
    ]


@cases.each(
    "name, revision, kind, fragment",
    [
        ("tiny/absent", None, errors.CheckpointError, "no such model on the hub"),
        ("tiny/gated", None, errors.CheckpointError, "licence"),
        ("tiny/opt", "v9", errors.CheckpointError, "no revision v9"),
        ("tiny/opt/", None, errors.UsageError, "not a directory"),
        ("/no/such/place", None, errors.UsageError, "not a directory"),
        ("a--b/c", None, errors.UsageError, "not an id"),
    ],
)
def test_what_is_not_there_is_one_line(remote, name, revision, kind, fragment):
    remote.serve({})
    with pytest.raises(kind) as caught:
        remote.resolve(name, revision)
    assert name in str(caught.value) and fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_directories_are_taken_as_they_are(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert hub.resolve(tmp_path) == tmp_path
    assert hub.resolve(str(tmp_path)) == tmp_path
    with pytest.raises(errors.UsageError, match="has no revision main"):
        hub.resolve(tmp_path, "main")
    with pytest.raises(errors.UsageError, match="not a directory"):
        hub.resolve(tmp_path / "config.json")


@pytest.mark.fault(case=1)
def test_a_reference_does_not_lead_out_of_the_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "snapshots" / "first" / "x").mkdir(parents=True)
    (tmp_path / "refs").mkdir()
    for commit in ("../elsewhere", "..", ".", "", "first/x", "\0"):
        (tmp_path / "refs" / "main").write_text(commit)
        with pytest.raises(errors.CheckpointError, match=r"no snapshot of main.*first"):
            hub.resolve(tmp_path)


@pytest.mark.fault(case=26)
def test_a_name_that_cannot_be_is_one_line():
    for name in ("", "x" * 300, "x/" * 3000, "https://example.com/facebook"):
        with pytest.raises(errors.UsageError, match="not a directory, and not an id"):
            hub.resolve(name)


def test_a_folder_of_the_cache_stands_for_its_main_snapshot(tmp_path):
    for commit in ("first", "second"):
        (tmp_path / "snapshots" / commit).mkdir(parents=True)
    with pytest.raises(errors.CheckpointError, match=r"no snapshot of main.*first"):
        hub.resolve(tmp_path)
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text("second")
    assert hub.resolve(tmp_path) == tmp_path / "snapshots" / "second"
    assert hub.resolve(tmp_path, "first") == tmp_path / "snapshots" / "first"


@pytest.mark.campaign
def test_the_script_downloads_and_converts(remote, tmp_path):
    remote.serve(model_files(tmp_path))
    command = [
        sys.executable,
        "scripts/convert_opt.py",
        "--hf=tiny/opt",
        f"--store={tmp_path / 'store'}",
    ]
    environment = os.environ | remote.environment
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    opened = reading.open_store(tmp_path / "store")
    assert opened.manifest["source"]["name"] == "tiny/opt"
    found = Tokenizer.from_json(opened.read_tokenizer(), "the store's")
    assert found.encode(["aa"]) == [[0, 0]]
    # The library does not even try, and the hub may have the tokenizer that the cache lacks.
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    (snapshot,) = remote.cache.glob("*/snapshots/*")
    (snapshot / "vocab.json").unlink()
    (snapshot / "merges.txt").unlink()
    shutil.rmtree(snapshot.parents[1] / "trees", ignore_errors=True)
    done = subprocess.run(
        [*command[:-1], f"--store={tmp_path / 'other'}"],
        check=False,
        capture_output=True,
        text=True,
        env=offline,
    )
    assert done.returncode == errors.InputOutputError.exit_code
    assert "HF_HUB_OFFLINE" in done.stderr.splitlines()[-1]

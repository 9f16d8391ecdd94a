"""Reading shards: the right values, or one error that names the file, and never code that runs."""

import json
import os
import struct
import sys

import ml_dtypes
import numpy as np
import pytest

from convert import checkpoint
from jaxneurons import errors
from tests.support import cases

FILES = {".safetensors": "model.safetensors", ".bin": "pytorch_model.bin"}


def refusal(directory, action=None):
    """The one line that refuses a directory's weights, on opening or on `action`."""
    with pytest.raises(errors.CheckpointError) as caught:
        opened = checkpoint.open_checkpoint(directory)
        if action is not None:
            action(opened)
    message = str(caught.value)
    assert str(directory) in message and "\n" not in message
    return message


def safetensors_bytes(entries, data=b"", length=None):
    """A file by hand: entries as a dict, or the header's bytes."""
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    length = len(header) if length is None else length
    return struct.pack("<Q", length) + header + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **others):
    return {
        "dtype": dtype,
        "shape": list(shape),
        "data_offsets": list(offsets),
    } | others


GOOD = {"a": entry(), "b": entry("BF16", (2, 1), (8, 12))}
GOOD_DATA = (
    np.float32([1, 2]).tobytes() + np.array([3, 4], ml_dtypes.bfloat16).tobytes()
)


def write_index(directory, weight_map, suffix=".safetensors"):
    index = {"weight_map": weight_map}
    (directory / f"{FILES[suffix]}.index.json").write_text(json.dumps(index))


def test_values_and_types(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(GOOD, GOOD_DATA))
    opened = checkpoint.open_checkpoint(tmp_path)
    assert list(opened.shards) == ["a", "b"]
    assert opened.tensor("b") == ((2, 1), "bfloat16")
    np.testing.assert_array_equal(opened.read("a"), np.float32([1, 2]))
    assert opened.read("b").dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(opened.read("b").astype(np.float32), [[3], [4]])


def test_a_type_that_nobody_reads_is_named_as_the_file_does(tmp_path):
    content = safetensors_bytes({"a": entry("F8_E4M3", (8,))}, GOOD_DATA[:8])
    (tmp_path / "model.safetensors").write_bytes(content)
    assert checkpoint.open_checkpoint(tmp_path).tensor("a").dtype == "F8_E4M3"


@pytest.mark.fault(case=4)
def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    whole = safetensors_bytes(GOOD, GOOD_DATA)
    header_end = len(whole) - len(GOOD_DATA)
    for length in (1, 3, 7, 8, 9, header_end - 1, header_end, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert str(path) in refusal(tmp_path), length
    path.write_bytes(whole + b"\0")
    assert "interrupted" in refusal(tmp_path)


@pytest.mark.fault(case=4)
def test_a_file_cut_after_it_was_opened_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(GOOD, GOOD_DATA))

    def cut_and_read(opened):
        path.write_bytes(path.read_bytes()[:-2])
        opened.read("b")

    assert "model.safetensors is damaged" in refusal(tmp_path, cut_and_read)


@pytest.mark.fault(case=5)
@cases.each(
    "content",
    [
        safetensors_bytes(b"{}", length=2**63),
        safetensors_bytes(b"\xff{}"),
        safetensors_bytes(b"{"),
        safetensors_bytes(b"[]"),
        safetensors_bytes({"a": 5}),
        safetensors_bytes({"a": entry("F9", (8,))}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(["F32"])}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(shape=(3,))}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(shape=(-2,))}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(shape=(2.0,))}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(shape=(2**62,) * 8)}),
        safetensors_bytes({"a": entry(offsets=(8, 0))}, GOOD_DATA[:8]),
        safetensors_bytes({"a": entry(), "b": entry(offsets=(4, 12))}, GOOD_DATA),
        safetensors_bytes({"a": entry(), "b": entry(offsets=(12, 20))}, b"0" * 20),
        safetensors_bytes({"a": entry(offsets=(4, 12))}, GOOD_DATA),
    ],
)
def test_damaged_headers_are_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "model.safetensors is damaged, or its download was" in refusal(tmp_path)


@pytest.mark.fault(case=5)
def test_a_header_of_more_than_is_read_is_refused(tmp_path):
    long = safetensors_bytes(json.dumps(GOOD).encode() + b" " * 2**23, GOOD_DATA)
    (tmp_path / "model.safetensors").write_bytes(long)
    assert "the header has 8,388," in refusal(tmp_path)


@pytest.mark.fault(case=6)
def test_a_key_twice_in_a_header_is_refused(tmp_path):
    twice = json.dumps({"a": entry()})[1:-1]
    content = safetensors_bytes(f"{{{twice}, {twice}}}".encode(), GOOD_DATA[:8])
    (tmp_path / "model.safetensors").write_bytes(content)
    assert 'header: not valid JSON: key "a" appears twice' in refusal(tmp_path)


@pytest.mark.fault(case=1)
def test_names_in_an_index_are_not_trusted(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(GOOD, GOOD_DATA))
    # If it was opened, the error would be about it.
    (directory / "bad.safetensors").write_bytes(b"not a shard")
    for name in (
        "../model.safetensors",
        "a/../../model.safetensors",
        "/etc/x.safetensors",
        "a\\b.safetensors",
        "./a.safetensors",
        "a//b.safetensors",
        "a\0.safetensors",
        "model.bin",
        "",
        None,
        5,
        ["a.safetensors"],
    ):
        write_index(directory, {"a": "bad.safetensors", "the.key": name})
        message = refusal(directory)
        assert '"the.key"' in message and json.dumps(name) in message


@pytest.mark.fault(case=1)
@cases.each("content", ['{"weight_map": []}', "{}", '{"weight_map": {}}'])
def test_an_index_without_a_map_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert "weight_map" in refusal(tmp_path)


@pytest.mark.fault(case=6)
def test_a_key_twice_in_an_index_is_refused(tmp_path):
    content = '{"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert '"a" appears twice' in refusal(tmp_path)


@pytest.mark.fault(case=2)
@pytest.mark.fault(case=3)
@cases.each("suffix", FILES)
def test_all_bad_shards_are_listed_at_once(tmp_path, suffix):
    names = ["missing", "folder", "empty", "pointer", "link", "pipe"]
    write_index(tmp_path, {name: name + suffix for name in names}, suffix)
    (tmp_path / f"missing{suffix}.incomplete").write_bytes(b"half")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"empty{suffix}").touch()
    (tmp_path / f"link{suffix}").symlink_to("nowhere")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"pointer{suffix}").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4711\n"
    )
    message = refusal(tmp_path)
    for wanted in (
        f"missing{suffix} is missing",
        f"folder{suffix} is a directory",
        f"empty{suffix} is empty",
        f"link{suffix} is missing",
        f"pipe{suffix} is not a regular file",
        f"pointer{suffix} is a git-lfs pointer (4711 bytes): run git lfs pull",
        "download was interrupted",
    ):
        assert wanted in message


@pytest.mark.fault(case=6)
def test_shards_and_index_must_agree(tmp_path):
    for name in ("x", "y"):
        content = safetensors_bytes({"twice": entry(), name: entry(offsets=(8, 16))})
        (tmp_path / f"{name}.safetensors").write_bytes(content + bytes(16))
    write_index(
        tmp_path,
        {"twice": "x.safetensors", "x": "x.safetensors", "lost": "y.safetensors"},
    )
    message = refusal(tmp_path)
    assert "twice is in y.safetensors, the index says x.safetensors" in message
    assert "y is in y.safetensors, the index says no shard" in message
    assert "lost is not in y.safetensors, as the index says" in message


def test_the_files_of_weights_are_listed_before_they_are_there(tmp_path):
    write_index(tmp_path, {"a": "below/x.safetensors", "b": "y.safetensors"})
    names = ["model.safetensors.index.json", "below/x.safetensors", "y.safetensors"]
    assert checkpoint.weight_files(tmp_path) == [tmp_path / name for name in names]


def test_an_adapter_is_told_from_a_model(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    settings = {"peft_type": "LORA", "base_model_name_or_path": "facebook/opt-125m"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    message = refusal(tmp_path)
    assert "LORA adapter of facebook/opt-125m, not a model" in message
    assert "Merge it" in message
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "adapter" in refusal(tmp_path)
    # A merged model beside what is left of its adapter.
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(GOOD, GOOD_DATA))
    assert list(checkpoint.open_checkpoint(tmp_path).shards) == ["a", "b"]


def test_safetensors_are_preferred_and_both_kinds_of_one_are_refused(tmp_path):
    assert "has no weights: expected model.safetensors" in refusal(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not looked at")
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(GOOD, GOOD_DATA))
    assert list(checkpoint.open_checkpoint(tmp_path).shards) == ["a", "b"]
    write_index(tmp_path, {"a": "model.safetensors", "b": "model.safetensors"})
    assert "has both model.safetensors and" in refusal(tmp_path)


def test_unreadable_files_are_an_input_output_error(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    write_index(tmp_path, {"a": "a" * 300 + ".safetensors"})
    with pytest.raises(errors.InputOutputError, match="File name too long"):
        checkpoint.open_checkpoint(tmp_path)


@pytest.mark.fault(case=7)
def test_a_missing_torch_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(
        errors.CheckpointError, match=r"pip install jaxneurons\[convert\]"
    ):
        checkpoint.open_checkpoint(tmp_path)

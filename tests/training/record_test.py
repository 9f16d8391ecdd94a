"""A training directory: what was written is read, anything else is one line of one type."""

import json

import pytest

from jaxneurons import errors
from jaxneurons.disk import manifest
from jaxneurons.training import record as records
from tests.support import tiny_tokenizers

IDENTITY = {"model": tiny_tokenizers.CONFIG.to_json(), "recipe": {"steps": 2}}


@pytest.fixture
def path(tmp_path):
    """A run that has begun and logged two steps."""
    entries = records.new_entries(IDENTITY, {"unigram": 2.5})
    records.write_entries(tmp_path, entries)
    record = records.open_record(tmp_path)
    for step in (0, 1):
        record.write_losses({"step": step, "loss": 3.0 - step})
    return tmp_path


def test_what_is_written_comes_back(path):
    record = records.open_record(path)
    assert record.config == tiny_tokenizers.CONFIG and not record.finished
    assert [line["step"] for line in record.read_losses()] == [0, 1]
    record.finish()
    assert records.open_record(path).finished


@pytest.mark.fault(case=30)
def test_a_torn_manifest_is_refused(path):
    content = (path / "train.json").read_bytes()
    torn = [content[:end] for end in range(0, len(content), 61)]
    for changed in (*torn, content + b"\n", content.replace(b"2.5", b"2.6")):
        (path / "train.json").write_bytes(changed)
        with pytest.raises(errors.TrainingError, match=r"train\.json [^\n]*$"):
            records.open_record(path)


EDITS = {
    "unknown key": lambda e: e.update(nonsense=1),
    "status": lambda e: e.update(status="done"),
    "steps to keep": lambda e: e.update(keep=["2"]),
    "identity no object": lambda e: e.update(identity=[]),
    "no model": lambda e: e["identity"].pop("model"),
    "model field": lambda e: e["identity"]["model"].update(ffn_dim="many"),
}


@pytest.mark.fault(case=30)
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_with_a_right_digest_is_refused_too(path, edit):
    entries = records.open_record(path).entries
    EDITS[edit](entries)
    (path / "train.json").write_bytes(manifest.seal(records.FORMAT, entries))
    with pytest.raises(errors.TrainingError, match=r"train\.json: [^\n]*$"):
        records.open_record(path)


@pytest.mark.fault(case=30)
def test_another_format_version_is_refused_with_both(path):
    entries = {"format": "jaxneurons-training", "format_version": 9}
    (path / "train.json").write_text(json.dumps(entries))
    with pytest.raises(errors.FormatVersionError, match="9, this code reads version 1"):
        records.open_record(path)


@pytest.mark.fault(case=30)
@pytest.mark.parametrize("name", ["nothing", "file", "file/below"])
def test_what_is_no_training_directory_is_said_to_be_none(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.TrainingError, match=r"no train\.json: not a training"):
        records.open_record(tmp_path / name)


@pytest.mark.fault(case=30)
def test_a_line_that_a_killed_process_left_half_written_is_dropped(path):
    with open(path / "loss.jsonl", "ab") as file:
        file.write(b'{"step": 2, "lo')
    record = records.open_record(path)
    record.drop_losses_after(0)
    record.write_losses({"step": 1})
    assert [line["step"] for line in record.read_losses()] == [0, 1]


@pytest.mark.fault(case=30)
@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"loss": 1}', b'{"step": "1"}', b"\xff"]
)
def test_a_damaged_line_of_losses_is_named(path, line):
    content = (path / "loss.jsonl").read_bytes()
    (path / "loss.jsonl").write_bytes(line + b"\n" + content)
    with pytest.raises(errors.TrainingError, match=r"loss\.jsonl, line 1: [^\n]*$"):
        records.open_record(path).read_losses()


@pytest.mark.fault(case=30)
def test_two_processes_do_not_train_in_one_directory(path):
    first, second = records.open_record(path), records.open_record(path)
    with (
        first.locked(),
        pytest.raises(errors.OutputExistsError, match="another process is train"),
        second.locked(),
    ):
        pytest.fail("the block must not run")
    with second.locked():
        pass

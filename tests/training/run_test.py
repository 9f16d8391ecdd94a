"""A training directory: what was written is read, and anything else is one error of one type."""

import dataclasses
import hashlib
import json
import pathlib

import pytest

from jaxneurons import errors
from jaxneurons.training import losses, recipe
from jaxneurons.training import run as runs
from tests.support import cases, tiny_tokenizers

IDENTITY = runs.Identity(
    model=tiny_tokenizers.CONFIG,
    recipe=recipe.Recipe(steps=200),
    corpus={"wiki": {"index": 0, "fingerprint": "0a"}},
    windows={"training": 5, "validation": 2},
    validation_share=0.25,
    tokenizer=hashlib.sha256(b"{}").hexdigest(),
    versions={"jax": "1"},
    device={"count": 1},
)


@pytest.fixture
def run(tmp_path):
    """A run that has begun and logged two steps."""
    run = runs.Run(
        path=tmp_path,
        identity=IDENTITY,
        machine={"cores": 2},
        baselines={"unigram": 2.5},
    ).write()
    for step in (0, 1):
        losses.append(run.losses, {"step": step, "loss": 3.0 - step})
    return run


def test_what_is_written_comes_back(run):
    assert runs.open_run(run.path) == run
    finished = dataclasses.replace(run.keeping([7, 3]), finished=True).write()
    assert runs.open_run(run.path) == finished
    assert finished.keep == (3, 7)
    assert [line["step"] for line in losses.read(run.losses)] == [0, 1]


@pytest.mark.fault(case=30)
def test_a_damaged_manifest_is_refused(run):
    path = run.path / runs.MANIFEST
    content = path.read_bytes()
    torn = [content[:end] for end in range(0, len(content), 211)]
    for changed in (*torn, content + b"\n", content.replace(b"2.5", b"2.6")):
        path.write_bytes(changed)
        with pytest.raises(errors.TrainingError, match=r"train\.json [^\n]*$"):
            runs.open_run(run.path)


@pytest.mark.fault(case=30)
def test_another_tokenizer_is_refused(run):
    run.tokenizer.parent.mkdir()
    run.tokenizer.write_bytes(b"{}")
    assert run.read_tokenizer() == b"{}"
    run.tokenizer.write_bytes(b"[]")
    with pytest.raises(errors.TrainingError, match=r"tokenizer\.json is damaged"):
        run.read_tokenizer()


@pytest.mark.fault(case=30)
def test_another_format_version_is_refused_with_the_remedy(run):
    entries = {"format": "jaxneurons-training", "format_version": 1}
    (run.path / runs.MANIFEST).write_text(json.dumps(entries))
    with pytest.raises(errors.FormatVersionError, match="train the model again"):
        runs.open_run(run.path)


@pytest.mark.fault(case=30)
@cases.each("name", ["nothing", "file", "file/below"])
def test_what_is_no_training_directory_is_said_to_be_none(
    tmp_path: pathlib.Path, name: str
):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.TrainingError, match="not a training directory"):
        runs.open_run(tmp_path / name)


@pytest.mark.fault(case=30)
def test_a_line_that_a_killed_process_left_half_written_is_dropped(run):
    with open(run.losses, "ab") as file:
        file.write(b'{"step": 2, "lo')
    losses.drop_after(run.losses, 0)
    losses.append(run.losses, {"step": 1})
    assert losses.read(run.losses) == [{"step": 0, "loss": 3.0}, {"step": 1}]


@pytest.mark.fault(case=30)
@cases.each("line", [b"{", b"[]", b"\xff"], fresh="run")
def test_a_damaged_line_of_losses_is_named(run, line):
    run.losses.write_bytes(line + b"\n" + run.losses.read_bytes())
    with pytest.raises(errors.TrainingError, match=r"loss\.jsonl:1: [^\n]*$"):
        losses.read(run.losses)

"""A study is begun, gone on with and opened, or what is in the way is named and untouched.

Cases 22, 23, 25 and 26 of the design's list of faults, as far as they are the study directory's.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.disk import manifest
from jaxneurons.studies import facts, opening
from jaxneurons.studies.facts import ResumePoint
from tests.support import cases, dying, small_study
from tests.support.small_study import IDENTITY


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study of layers 0 and 1 of 3, of which layer 0 is done, written once."""
    path = tmp_path_factory.mktemp("template") / "study"
    small_study.create(path)
    study = opening.resume(path, IDENTITY)
    small_study.write_layer(study, 0)
    study.finish_layer(small_study.done(0), ["d1", "d2"])
    return path


@pytest.fixture
def path(template, tmp_path):
    return shutil.copytree(template, tmp_path / "study")


def test_what_study_json_says_comes_back(path):
    study = opening.resume(path, IDENTITY)
    study.finish_pass(7)
    with study.writing("notes") as file:
        file.write(b"1")
    study.save()
    found = opening.open_any(path)
    assert found.facts == study.facts
    assert found.identity == IDENTITY
    assert found.asked_layers == (0, 1) and found.done_layers == [0]
    assert found.passes == (7,)
    assert found.resume_from == ResumePoint(layer=0, digests=("d1", "d2"))


@pytest.mark.fault(case=23)
def test_torn_or_edited_study_json_is_never_trusted(path):
    content = (path / "study.json").read_bytes()
    torn = [content[:end] for end in range(0, len(content), 97)]
    edited = [
        content.replace(b'"asked"', b'"asked" '),
        content.replace(b'"d1"', b'"d3"'),
    ]
    for changed in (*torn, *edited, content + b"\n"):
        (path / "study.json").write_bytes(changed)
        with pytest.raises(errors.StudyError, match="study.json [^\n]*$"):
            opening.resume(path, IDENTITY)


@pytest.mark.fault(case=22)
@cases.each("version", [0, 4, 6, None])
def test_another_format_version_is_refused_with_both(path, version):
    entries = {"format": "jaxneurons-study", "format_version": version}
    (path / "study.json").write_text(json.dumps(entries))
    with pytest.raises(errors.FormatVersionError) as caught:
        opening.open_any(path)
    message = str(caught.value)
    assert f"version {version!r}" in message and "reads version 5" in message


@pytest.mark.fault(case=22)
@cases.each(
    "edit",
    [
        lambda entries: entries.update(nonsense=1),
        lambda entries: entries.pop("device"),
        lambda entries: entries["settings"].update(nonsense=1),
        lambda entries: entries["model"]["config"].pop("ffn_dim"),
        lambda entries: entries["arrays"]["count"].pop("digests"),
        lambda entries: entries["arrays"].update({"../x": entries["arrays"]["count"]}),
    ],
    fresh="path",
)
def test_what_other_code_sealed_is_refused(path, edit):
    entries = facts.read(path).to_json()
    edit(entries)
    (path / "study.json").write_bytes(manifest.seal(facts.FORMAT, entries))
    with pytest.raises(errors.StudyError, match="study.json [^\n]*$"):
        opening.open_any(path)


@cases.each("name", ["nothing", "file", "file/below"])
def test_what_is_no_study_is_said_to_be_none(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.StudyError, match="is not a study: it has no study.json"):
        opening.open_any(tmp_path / name)


def test_a_refusal_of_the_system_is_not_taken_for_damage(path):
    (path / "study.json").unlink()
    (path / "study.json").symlink_to("study.json")
    with pytest.raises(errors.InputOutputError, match="read .*symbolic links"):
        opening.open_any(path)


@pytest.mark.fault(case=26)
def test_creating_over_an_unfinished_study_points_to_resuming(path):
    before = (path / "study.json").read_bytes()
    with pytest.raises(errors.OutputExistsError, match="Resume it"):
        small_study.create(path)
    assert (path / "study.json").read_bytes() == before


def _finish(path):
    opening.open_any(path).finish()


def _damage(path):
    (path / "study.json").write_bytes(b"{")


@pytest.mark.fault(case=26)
@cases.each("change", [_finish, _damage], fresh="path")
def test_creating_over_another_study_is_refused(path, change):
    change(path)
    with pytest.raises(errors.OutputExistsError, match="exists: a study is never"):
        small_study.create(path)


@pytest.mark.fault(case=26)
@cases.each("kind", ["file", "directory"])
def test_creating_over_something_else_is_refused(tmp_path, kind):
    path = tmp_path / "mine"
    if kind == "directory":
        path.mkdir()
    (path / "notes" if kind == "directory" else path).write_bytes(b"mine")
    with pytest.raises(errors.OutputExistsError, match="mine exists"):
        small_study.create(path)
    assert len(list(tmp_path.rglob("*"))) == (2 if kind == "directory" else 1)


@pytest.mark.fault(case=26)
def test_creating_that_fails_leaves_nothing(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        opening.creating(tmp_path / "a", IDENTITY) as study,
    ):
        study.create_array(
            "count", small_study.SHAPES["count"], small_study.SPECS["count"]
        )
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(case=25)
def test_all_differences_are_in_one_error(path):
    replace = dataclasses.replace
    domain = replace(IDENTITY.corpus[0], name="code", index=2)
    here = replace(
        IDENTITY,
        model=replace(IDENTITY.model, fingerprint="other", location="/elsewhere"),
        settings=replace(IDENTITY.settings, window=8, windows_per_batch=5),
        special_tokens=(2,),
        corpus=(*IDENTITY.corpus, domain),
    )
    with pytest.raises(errors.MismatchError) as caught:
        opening.resume(path, here)
    for phrase in (
        "model.fingerprint was 'f' and is now 'other'",
        "settings.window was 4 and is now 8",
        "settings.windows_per_batch was 2 and is now 5 (rounding depends on it",
        "special_tokens was [1, 2] and is now [2]",
        "corpus.code was None and is now {'fingerprint'",
    ):
        assert phrase in str(caught.value)
    for name in ("versions", "location", "corpus.a"):
        assert name not in str(caught.value)


@pytest.mark.fault(case=26)
def test_a_finished_study_is_not_resumed_and_loses_what_only_resuming_needs(path):
    study = opening.open_any(path)
    with study.writing("partial/sums") as file:
        file.write(b"1")
    study.finish()
    (path / "partial").mkdir()
    with pytest.raises(errors.OutputExistsError, match="nothing to resume"):
        opening.resume(path, IDENTITY)
    assert not (path / "partial").exists()
    finished = opening.open_finished(path)
    assert finished.resume_from is None and not finished.facts.files


@pytest.mark.fault(case=26)
def test_two_processes_do_not_work_on_one_study(path):
    first, second = opening.resume(path, IDENTITY), opening.resume(path, IDENTITY)
    with first.locked():
        with (
            pytest.raises(errors.OutputExistsError, match="another process is work"),
            second.locked(),
        ):
            pytest.fail("the block must not run")
        small_study.write_layer(first, 1)
        first.finish_layer(small_study.done(1), [])
    with (
        pytest.raises(errors.OutputExistsError, match="has continued this study"),
        second.locked(),
    ):
        pytest.fail("the block must not run")
    with opening.resume(path, IDENTITY).locked():
        pass


def test_an_error_of_the_block_is_not_taken_for_the_lock(path):
    with pytest.raises(BlockingIOError), opening.resume(path, IDENTITY).locked():
        raise BlockingIOError


@pytest.mark.fault(case=23)
@pytest.mark.fault(case=24)
def test_killed_at_every_rename_and_sync_of_a_layer(path):
    """Whatever the k-th call, the layer is done and right, or not done and can be written again."""
    done = []
    for calls in range(100):
        is_done = dying.run(_write_layer_if_missing, path, calls=calls)
        study = opening.resume(path, IDENTITY)
        done.append(tuple(study.done_layers))
        if is_done:
            break
    assert set(done[:-1]) <= {(0,), (0, 1)} and (0,) in done
    assert study.done_layers[:2] == [0, 1]
    for name in small_study.SPECS:
        np.testing.assert_array_equal(study.read(name), small_study.expected(name))
    assert not [file for file in path.rglob("*") if "lock" in file.name]


def _write_layer_if_missing(path):
    study = opening.resume(path, IDENTITY)
    if 1 not in study.done_layers:
        small_study.write_layer(study, 1)
        study.finish_layer(small_study.done(1), ["d"])

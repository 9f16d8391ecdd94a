"""Parts of a text that were studied apart become the study of all of it, bit for bit."""

import dataclasses

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.run import job, merging, models
from jaxneurons.store import reading
from jaxneurons.studies import opening
from jaxneurons.studies.directory import Study
from tests.support import cases, planted, small_study, studies
from tests.support.helpers import run_script

CHOSEN = {"window": 8, "windows_per_batch": 2, "ngrams": False, "examples": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, a text of two domains, and studies of all of it and of each of three parts."""
    folder = tmp_path_factory.mktemp("parts")
    layers = [planted.layer(*map(planted.fires_on, (4, 9, 5 + i))) for i in range(3)]
    planted.write_store(folder / "store", layers)
    random = np.random.default_rng(0)
    for name, documents in (("one", 6), ("two", 10)):
        tokens = random.integers(4, 20, (documents, 7)).tolist()
        planted.write_documents(folder / f"{name}.jsonl", tokens)
    for part in (None, "1/3", "2/3", "3/3"):
        _study(folder, part)
    return folder


def _study(folder, part, **chosen):
    name = "whole" if part is None else f"part{part[0]}"
    sources = [(name, folder / f"{name}.jsonl") for name in ("one", "two")]
    studies.run_study(
        folder / name, folder / "store", sources, part=part, **(CHOSEN | chosen)
    )


def _parts(folder, *names):
    return [opening.open_finished(folder / name) for name in names]


def _model(folder):
    return models.Model("model", reading.open_store(folder / "store"))


def test_parts_make_the_study_of_all(folder, tmp_path):
    parts = _parts(folder, "part3", "part1", "part2")
    # One domain alone, or both; and windows that do not fill the last batch.
    domains = [[domain.name for domain in part.identity.corpus] for part in parts]
    assert domains == [["two"], ["one"], ["one", "two"]]
    merging.merge(parts, _model(folder), tmp_path / "merged", figures=False)
    studies.assert_same(tmp_path / "merged", folder / "whole")
    merged, whole = (
        opening.open_finished(path) for path in (tmp_path / "merged", folder / "whole")
    )
    assert merged.identity == dataclasses.replace(
        whole.identity, corpus=merged.identity.corpus
    )
    assert merged.done_layers == whole.done_layers and merged.passes == whole.passes
    # The examples of a part are windows of its own.
    windows = parts[0].read("example_window")
    assert windows.max() < len(parts[0].read("tokens"))


def test_the_script_merges_with_the_model_that_the_first_part_names(folder, tmp_path):
    parts = [f"--part={folder / f'part{number}'}" for number in (1, 2, 3)]
    merged = tmp_path / "merged"
    done = run_script(tmp_path, "merge", *parts, f"--study={merged}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("layer  dead") and f"wrote {merged}" in done.stdout
    study = opening.open_finished(merged)
    assert len(study.read("tokens")) == len(
        opening.open_finished(folder / "whole").read("tokens")
    )


@cases.each(
    "names, message",
    [
        (["part1", "part3"], "the parts are 1/3, 3/3, which are not all of 3"),
        (["part1", "part1"], "are both part 1/3"),
        (["part1", "whole"], "whole is a study of all its windows"),
    ],
)
def test_what_is_not_all_parts_is_refused(folder, tmp_path, names, message):
    with pytest.raises(errors.UsageError, match=message):
        merging.merge(_parts(folder, *names), _model(folder), tmp_path / "merged")
    assert not list(tmp_path.iterdir())


@cases.each(
    "changed, kind, message",
    [
        ({"ngrams": True}, errors.UsageError, "does not follow from that of parts"),
        ({"dtype": "bfloat16"}, errors.MismatchError, "settings.dtype was 'float32'"),
        (
            {"part": "1/2"},
            errors.UsageError,
            "the parts are 1/3, 2/3, 1/2, which are not all of 3",
        ),
    ],
)
def test_parts_that_differ_are_refused(folder, tmp_path, changed, kind, message):
    parts = _parts(folder, "part1", "part2", "part3")
    identity = parts[2].identity
    settings = dataclasses.replace(identity.settings, **changed)
    other = dataclasses.replace(identity, settings=settings)
    parts[2] = Study(parts[2].path, dataclasses.replace(parts[2].facts, identity=other))
    with pytest.raises(kind, match=message):
        merging.merge(parts, _model(folder), tmp_path / "merged")


@cases.each(
    "part, chosen, message",
    [
        ("2/1", {}, "Pass I/N with I from 1 to N"),
        ("1", {}, "Pass I/N with I from 1 to N"),
        ("1/99", {}, "but the text is 10 batches of 2 windows"),
        ("1/3", {"ngrams": True}, "n-grams need all windows"),
    ],
)
def test_a_part_that_is_none_is_refused(folder, part, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        _study(folder, part, **chosen)


@cases.each("windows, number", [(1, 1), (7, 2), (17, 3), (64, 5)])
def test_parts_are_whole_batches_and_all_windows(windows, number):
    settings = dataclasses.replace(small_study.IDENTITY.settings, windows_per_batch=4)
    number = min(number, -(-windows // 4))
    shares = [
        job.part_of(windows, dataclasses.replace(settings, part=f"{i}/{number}"))
        for i in range(1, number + 1)
    ]
    assert [window for share in shares for window in share] == list(range(windows))
    assert all(share and share.start % 4 == 0 for share in shares)

"""Several passes over the weights count what one pass counts, wherever they are interrupted; n-grams left out."""

import json

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.analysis import analyze
from jaxneurons.figures import paper
from jaxneurons.run import passes
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.stream import step
from jaxneurons.studies import contents, directory, opening
from tests.run import edges_test, run_test

PASSES = Resources(tokens_per_pass=50)


@pytest.fixture(scope="module", autouse=True)
def _no_figures():
    """They would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "draw", lambda summaries: {})
        yield


DRAW = paper.draw


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "store"
    return reading.open_store(edges_test.write_random_store(path, edges_test.SMALL))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return [
        (name, run_test.planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in edges_test.random_texts().items()
    ]


def run_without_ngrams(model, sources, path, resume=False, resources=None, **chosen):
    chosen = {"window": 10, "windows_per_batch": 2, "ngrams": False} | chosen
    return run_test.run_planted(model, sources, path, resume, resources, **chosen)


@pytest.fixture(scope="module")
def finished(model, sources, tmp_path_factory):
    """In one pass."""
    path = tmp_path_factory.mktemp("studies") / "study"
    run_without_ngrams(model, sources, path)
    return path


def test_several_passes_give_the_same_bits(
    model, sources, tmp_path, finished, monkeypatch
):
    path = tmp_path / "study"
    compiled, compile_step = [], step.compile_step
    monkeypatch.setattr(
        step, "compile_step", lambda *a: compiled.append(a) or compile_step(*a)
    )
    run_without_ngrams(model, sources, path, resources=PASSES)
    assert len(compiled) == 1
    assert run_test.digests(path) == run_test.digests(finished)
    # 19 windows of 10 tokens; 50 tokens are two batches of two windows.
    assert opening.open_any(finished).passes == (19,)
    assert opening.open_any(path).passes == (4, 8, 12, 16, 19)
    assert run_test.logged_layers(path) == [0, 1] * 5
    assert not (path / "partial").exists()


def stop_at(patch, owner, name, number):
    """Ends the run in place of the so manieth call."""
    function, calls = getattr(owner, name), []

    def counted(*arguments, **named):
        calls.append(name)
        if len(calls) == number:
            raise run_test.Stop
        return function(*arguments, **named)

    patch.setattr(owner, name, counted)


@pytest.mark.parametrize(
    ("owner", "name", "number", "again"),
    [
        (contents, "save_counts", 2, None),
        (contents, "save_counts", 5, 50),
        (directory.Study, "finish_pass", 2, 30),
        (contents, "remove_counts", 2, 90),
        (directory.Study, "write_layer", 7, 50),
        (directory.Study, "finish_layer", 2, None),
        (directory.Study, "finish_pass", 5, 50),
    ],
)
def test_an_interrupted_pass_begins_again(
    model, sources, tmp_path, finished, monkeypatch, owner, name, number, again
):
    path = tmp_path / "study"
    with monkeypatch.context() as patch, pytest.raises(run_test.Stop):
        stop_at(patch, owner, name, number)
        run_without_ngrams(model, sources, path, resources=PASSES)
    resources = Resources(tokens_per_pass=again)
    run_without_ngrams(model, sources, path, resume=True, resources=resources)
    assert run_test.digests(path) == run_test.digests(finished)


def test_one_pass_begun_may_end_in_several(
    model, sources, tmp_path, finished, monkeypatch
):
    path = tmp_path / "study"
    with monkeypatch.context() as patch, pytest.raises(run_test.Stop):
        stop_at(patch, directory.Study, "finish_layer", 2)
        run_without_ngrams(model, sources, path)
    run_without_ngrams(model, sources, path, resume=True, resources=PASSES)
    assert run_test.digests(path) == run_test.digests(finished)


def test_damaged_sums_are_named(model, sources, tmp_path, monkeypatch):
    path = tmp_path / "study"
    with monkeypatch.context() as patch, pytest.raises(run_test.Stop):
        stop_at(patch, contents, "save_counts", 4)
        run_without_ngrams(model, sources, path, resources=PASSES)
    (file,) = (path / "partial").glob("counts_001_4*")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(errors.StudyError, match="counts_001_4.npz is damaged"):
        run_without_ngrams(model, sources, path, resume=True, resources=PASSES)


def test_ngrams_in_several_passes_are_refused(model, sources, tmp_path):
    with pytest.raises(errors.UsageError, match="one pass, since .* Leave one"):
        run_without_ngrams(
            model, sources, tmp_path / "study", resources=PASSES, ngrams=True
        )
    assert not any(tmp_path.iterdir())


def test_a_study_without_ngrams_says_so(model, sources, tmp_path, finished):
    record = opening.open_any(finished)
    assert record.identity.settings.ngrams is False
    for name in contents.NGRAM_ARRAYS:
        assert (record.read(name) == -1).all()
    assert not list(record.arrays_path.glob("candidate*"))
    summary = json.loads((finished / "summary.json").read_bytes())
    assert summary["ngrams"] is None and summary["suppression"] is None
    figures = {name.split("_")[1] for name in DRAW({"model": summary})}
    assert figures == {"1a", "1b", "7", "8", "9"}
    assert not list(finished.glob("detectors*"))
    analyze.analyze_again(record, model, analyze.Thresholds(), str(tmp_path / "out"))


def test_counts_are_those_of_a_study_with_ngrams(model, sources, tmp_path, finished):
    run_without_ngrams(model, sources, tmp_path / "study", ngrams=True)
    both = [opening.open_any(path) for path in (finished, tmp_path / "study")]
    for name in ("activation_count", "position_count", "mutual_information"):
        np.testing.assert_array_equal(*[record.read(name) for record in both])


def test_spill_directory(model, sources, tmp_path, finished, monkeypatch):
    run_test.keep_hidden_states(monkeypatch, "disk")
    resources = Resources(spill_directory=tmp_path / "spilled")
    path = tmp_path / "study"
    seen = []
    keep = passes._keep

    def noted(record, *arguments):
        seen.extend(file.name for file in tmp_path.glob("spilled/*/*"))
        assert not list(record.partial.glob("hidden*"))
        keep(record, *arguments)

    monkeypatch.setattr(passes, "_keep", noted)
    run_without_ngrams(model, sources, path, resources=resources)
    assert set(seen) == {"hidden_1.bin"}
    assert not any((tmp_path / "spilled").iterdir())
    assert run_test.digests(path) == run_test.digests(finished)


def test_a_full_spill_disk_stops_the_run_and_it_goes_on(
    model, sources, tmp_path, finished, monkeypatch
):
    run_test.keep_hidden_states(monkeypatch, "disk")
    resources = Resources(spill_directory=tmp_path / "spilled")
    path = tmp_path / "study"
    (tmp_path / "spilled").mkdir()
    with monkeypatch.context() as patch, pytest.raises(errors.InputOutputError) as stop:
        patch.setattr(passes, "spill_folder", lambda *_: tmp_path / "full")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "hidden_1.bin").symlink_to("/dev/full")
        run_without_ngrams(model, sources, path, resources=resources)
    assert "hidden_1.bin: No space left on device (" in str(stop.value)
    run_without_ngrams(model, sources, path, resume=True, resources=resources)
    assert run_test.digests(path) == run_test.digests(finished)

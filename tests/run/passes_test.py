"""Several passes over the weights count what one pass counts, wherever they are interrupted; n-grams left out."""

import dataclasses
import json
import time

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.analysis import analyze
from jaxneurons.disk import files
from jaxneurons.run import layer_end
from jaxneurons.run.resources import Resources
from jaxneurons.store import random_model, reading
from jaxneurons.studies import contents, opening
from tests.run import edges_test
from tests.support import cases, planted, studies
from tests.support.studies import digests, logged_layers

PASSES = Resources(tokens_per_pass=50)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "store"
    return random_model.write(path, edges_test.SMALL)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in edges_test.random_texts().items()
    ]


def run_study(stored, sources, path, **chosen):
    plain = {
        "window": 10,
        "windows_per_batch": 2,
        "ngrams": False,
        "suppression": False,
    }
    return studies.run_study(path, stored, sources, **(plain | chosen))


@pytest.fixture(scope="module")
def finished(stored, sources, tmp_path_factory):
    """In one pass."""
    path = tmp_path_factory.mktemp("studies") / "study"
    run_study(stored, sources, path)
    return path


def test_several_passes_give_the_same_bits(stored, sources, tmp_path, finished):
    path = tmp_path / "study"
    study = run_study(stored, sources, path, resources=PASSES)
    assert digests(path) == digests(finished)
    # 19 windows of 10 tokens; 50 tokens are two batches of two windows.
    assert opening.open_any(finished).passes == (19,)
    assert study.passes == (4, 8, 12, 16, 19)
    assert logged_layers(path) == [0, 1] * 5
    assert not study.partial.exists()


@pytest.mark.campaign
@pytest.mark.fault(case=24)
@cases.each(
    "layers, again",
    [(1, None), (2, 30), (3, 50), (6, 90), (9, 50), (10, None)],
    every_day=[(3, 50), (10, None)],
)
def test_an_interrupted_pass_begins_again(
    stored, sources, tmp_path, finished, layers, again
):
    path = tmp_path / "study"
    stop = studies.StopAfter(layers)
    with pytest.raises(studies.Stop):
        run_study(stored, sources, path, resources=PASSES, progress=stop)
    run_study(stored, sources, path, resources=Resources(tokens_per_pass=again))
    assert digests(path) == digests(finished)


@pytest.mark.campaign
def test_one_pass_begun_may_end_in_several(stored, sources, tmp_path, finished):
    path = tmp_path / "study"
    with pytest.raises(studies.Stop):
        run_study(stored, sources, path, progress=studies.StopAfter(1))
    run_study(stored, sources, path, resources=PASSES)
    assert digests(path) == digests(finished)


@pytest.mark.fault(case=24)
def test_damaged_sums_are_named(stored, sources, tmp_path):
    path = tmp_path / "study"
    stop = studies.StopAfter(3)
    with pytest.raises(studies.Stop):
        run_study(stored, sources, path, resources=PASSES, progress=stop)
    (file,) = (path / "partial").glob("counts_001_4*")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(errors.StudyError, match="counts_001_4.npz"):
        run_study(stored, sources, path, resources=PASSES)


def test_ngrams_in_several_passes_are_refused(stored, sources, tmp_path):
    with pytest.raises(errors.UsageError, match="n-grams need all tokens in one pass"):
        run_study(stored, sources, tmp_path / "a", resources=PASSES, ngrams=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.campaign
def test_a_study_without_ngrams_says_so(stored, sources, tmp_path):
    path = tmp_path / "study"
    study = run_study(stored, sources, path, figures=True)
    assert not study.identity.settings.ngrams
    for name in contents.NGRAM_ARRAYS:
        assert (study.read(name) == -1).all()
    assert not list(study.arrays_path.glob("candidate*"))
    summary = json.loads((path / "summary.json").read_bytes())
    assert summary["ngrams"] is None and summary["suppression"] is None
    figures = {file.name.split("_")[1] for file in path.glob("figures/figure_*")}
    assert figures <= {"1a", "1b", "7", "8", "9"} and "1b" in figures
    assert not list(path.glob("detectors*"))
    model = reading.open_store(stored)
    analyze.analyze_again(study, model, analyze.Thresholds(), str(tmp_path / "out"))


@pytest.mark.campaign
def test_counts_are_those_of_a_study_with_ngrams(stored, sources, tmp_path, finished):
    both = [
        opening.open_any(finished),
        run_study(stored, sources, tmp_path / "study", ngrams=True),
    ]
    for name in ("activation_count", "position_count", "mutual_information"):
        np.testing.assert_array_equal(*[study.read(name) for study in both])


def test_copies_lie_in_the_spill_directory_while_it_runs(
    stored, sources, tmp_path, finished
):
    spill = tmp_path / "spilled"
    path = tmp_path / "study"
    resources = Resources(spill_directory=spill, checkpoint_minutes=0)
    # A path may be another study's on another machine that has the same spill directory.
    for other in ("moved", "theirs"):
        with pytest.raises(studies.Stop):
            stop = studies.StopAfter(1)
            run_study(stored, sources, path, resources=resources, progress=stop)
        assert not list((path / "partial").glob("hidden*"))
        path.rename(tmp_path / other)
    assert [file.name for file in spill.glob("*/*")] == ["hidden_000.bin"] * 2
    (tmp_path / "moved").rename(path)
    run_study(stored, sources, path, resources=resources)
    (left,) = spill.iterdir()
    with (
        files.locked_directory(left, "there"),
        pytest.raises(errors.OutputExistsError, match="keeping hidden states there"),
    ):
        run_study(stored, sources, tmp_path / "theirs", resources=resources)
    assert digests(path) == digests(finished)
    assert logged_layers(path) == [0, 1]


@pytest.mark.fault(case=24)
def test_a_copy_stands_until_the_next_one_is_named(sources, tmp_path, monkeypatch):
    """Layer 1 is not noted as done while layer 2 is copied, and the run ends there."""
    model = dataclasses.replace(edges_test.SMALL, num_hidden_layers=4)
    stored, path = random_model.write(tmp_path / "store", model), tmp_path / "study"
    finish = layer_end.finish_layer

    def failing(study, job, result, *rest):
        if result.layer == 1:
            stop = time.monotonic() + 5
            while not (study.partial / "hidden_002.bin").exists():
                assert time.monotonic() < stop, "the device waits for the host"
                time.sleep(0.01)
            raise studies.Stop
        finish(study, job, result, *rest)

    monkeypatch.setattr(layer_end, "finish_layer", failing)
    with pytest.raises(studies.Stop):
        resources = Resources(checkpoint_minutes=0)
        run_study(stored, sources, path, resources=resources, examples=0)
    study = opening.open_any(path)
    assert study.resume_from.layer == 0
    assert (study.partial / "hidden_000.bin").exists()

"""Each script as a user runs it, on the embedded model and a little of its text."""

import json

import pytest
import xarray

from jaxneurons import demo
from tests.support.helpers import run_script


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "demo"
    compiled = f"--compilation_cache={cache / 'programs'}"
    done = run_script(cache, "study", f"--study={path}", "--max_tokens=20000", compiled)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote ")
    assert any((cache / "programs").rglob("jit_step*"))
    return path


def test_study_writes_everything_and_names_its_figures(finished):
    assert {file.name for file in finished.iterdir()} == {
        "arrays",
        "detectors_1.jsonl",
        "detectors_2.jsonl",
        "detectors_3.jsonl",
        "figures",
        "positional.jsonl",
        "study.json",
        "study.log",
        "summary.json",
        "tokenizer.json",
    }
    summary = json.loads((finished / "summary.json").read_bytes())
    assert summary["activation"]["tokens"] == 20000
    figures = {file.stem for file in (finished / "figures").glob("*.svg")}
    assert {"figure_1a_dead_neurons", "figure_8_positional_neurons"} <= figures
    captions = (finished / "figures/captions.md").read_text()
    assert captions.count("\n## Figure ") == len(figures)
    assert "\nFigures not drawn: " in captions
    assert figures == {file.stem for file in (finished / "figures").glob("*.png")}


def test_study_opens_with_xarray(finished):
    arrays = xarray.open_zarr(finished / "arrays", consolidated=False)
    assert arrays["activation_count"].dims == ("domain", "layer", "neuron")
    assert arrays["position_count"].sizes["position"] == 256
    assert arrays["candidate_2_ngram"].dims == ("candidate_2", "token_2")
    assert (arrays["ngram_activation_count"] >= 0).all()


@pytest.mark.fault(case=30)
@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("study", ["--study=x", "--device_memory_gb=nan"], "wanted a number of GiB"),
        ("train", ["--out=x", "--export_dtype=float16"], "--export_dtype is about"),
    ],
)
def test_flags_without_meaning_are_2_and_one_line(cache, script, flags, words):
    done = run_script(cache, script, *flags)
    assert done.returncode == 2 and words in done.stderr
    assert done.stderr.count("\n") == 1


def test_finished_study_is_refused_in_one_line(finished, cache):
    again = run_script(cache, "study", f"--study={finished}", "--max_tokens=20000")
    assert again.returncode == 73
    assert again.stderr.count("\n") == 1


def test_analyze_writes_elsewhere_and_leaves_the_study(finished, cache, tmp_path):
    before = (finished / "summary.json").read_bytes()
    done = run_script(
        cache,
        "analyze",
        f"--study={finished}",
        f"--out={tmp_path / 'out'}",
        "--information_threshold=.3",
        "--nosuppression",
    )
    assert done.returncode == 0, done.stderr
    assert (finished / "summary.json").read_bytes() == before
    again = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert again["suppression"] is None
    assert again["positions"]["criteria"]["information_threshold"] == 0.3
    found = again["positions"]["positional"]
    assert found < json.loads(before)["positions"]["positional"]


def test_analyze_in_place_with_the_same_thresholds_changes_nothing(finished, cache):
    before = (finished / "summary.json").read_bytes()
    done = run_script(cache, "analyze", f"--study={finished}")
    assert done.returncode == 0, done.stderr
    assert (finished / "summary.json").read_bytes() == before


@pytest.mark.parametrize("flag", ["--coverage_share=.9", "--most_ngrams=65"])
def test_analyze_refuses_what_the_candidates_cannot_answer(finished, cache, flag):
    refused = run_script(cache, "analyze", f"--study={finished}", flag)
    assert refused.returncode == 2
    assert "run the study again" in refused.stderr


def test_figures_of_two_studies(finished, cache, tmp_path):
    out = tmp_path / "figures"
    done = run_script(
        cache,
        "figures",
        f"--study={finished}",
        f"--study=again={finished}",
        f"--out={out}",
    )
    assert done.returncode == 0, done.stderr
    assert "again" in (out / "figure_1a_dead_neurons.svg").read_text()
    assert done.stdout.count(".png") == len(list((finished / "figures").glob("*.png")))
    assert "\nFigures not drawn: " in done.stdout


def test_convert_and_study_the_store(cache, tmp_path):
    store = tmp_path / "store"
    model = demo.model_directory()
    done = run_script(cache, "convert_opt", f"--hf={model}", f"--store={store}")
    assert done.returncode == 0, done.stderr
    done = run_script(
        cache,
        "study",
        f"--model={store}",
        f"--corpus=mathematics={dict(demo.sources())['dm_mathematics']}",
        f"--study={tmp_path / 'study'}",
        "--max_tokens=3000",
        "--layers=0:1",
        "--window=64",
        "--dtype=bfloat16",
    )
    assert done.returncode == 0, done.stderr
    study = json.loads((tmp_path / "study" / "study.json").read_bytes())
    assert study["layers"]["asked"] == [0, 1]
    assert study["settings"]["dtype"] == "bfloat16"

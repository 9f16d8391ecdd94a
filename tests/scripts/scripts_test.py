"""Each script as a user runs it, on an embedded model and a little text."""

import json
import re
import shutil

import pytest
import xarray

from jaxneurons import demo
from tests.support import cases, demo_study
from tests.support.helpers import REPOSITORY, run_python, run_script

SCRIPTS = sorted(
    path.stem for path in (REPOSITORY / "scripts").glob("*.py") if path.stem[0] != "_"
)
WITHOUT_MEANING = [
    ("study", [], "--study=DIR is required"),
    ("explore", [], "--study=DIR is required"),
    ("explore", ["--study=a", "--neuronpedia="], "--neuronpedia is empty"),
    (
        "ablate",
        ["--study=a", "--neurons=dead", "--out=b", "--step=7"],
        "--step and --ignore_attributes need --model.",
    ),
    ("explore", ["--study=a", "--study=b"], "several studies needs --out=DIR"),
    (
        "explore",
        ["--study=a", "--study=b", "--out=c", "--neuronpedia=d"],
        "--neuronpedia takes one study",
    ),
    ("study", ["--study=x", "--device_memory_gb=nan"], "is not a number of GiB"),
    ("study", ["--study=x", "--corpus=text.jsonl"], "is not NAME=PATH"),
    ("figures", [], "--study=DIR is required; --out=DIR is required"),
    (
        "train",
        ["--out=x", "--export_dtype=float16"],
        "--export_dtype needs --export",
    ),
    ("train", ["--out=x"], "--corpus=NAME=PATH is required"),
    ("explore", ["--study=a", "--out="], "--out is empty"),
    ("explore", ["--study=gs://a/b"], "the page of gs://a/b needs --out=DIR"),
    (
        "study",
        ["--study=gs://a/b", "--explorer"],
        "--explorer writes into a local study",
    ),
    ("study", ["--study=x", "--suffix=.py"], "--text_key and --suffix need --corpus"),
    (
        "study",
        ["--study=x", "--corpus=a=README.md", "--corpus=a=LICENSE"],
        "there are two domains of the name 'a'",
    ),
    ("benchmark", ["--scaling", "--roofline"], "scaling and --roofline exclude"),
    ("benchmark", ["--scaling", "--peers_keep_memory"], "and --scaling exclude"),
    ("benchmark", ["--shape=demo", "--layers=9"], "layers"),
    (
        "train_family",
        ["--out=x", "--corpus=a=.", "--positions=none"],
        "--positions: the family has a model of each",
    ),
    ("train_family", ["--out=x"], "--corpus=NAME=PATH is required"),
    ("train", ["--out=x", "--initial_threshold=a"], "is not a list of numbers"),
    ("reproduce", [], "--study=DIR is required, or --plan"),
    ("reproduce", ["--plan", "--out=x"], "--plan takes neither --study nor --out"),
    ("figures", ["--study=a", "--out=b", "--training", "--figure=1"], "one figure"),
    ("gpu_check", ["--parts=speed"], "no part 'speed'"),
    ("analyze", ["--study=a", "--out="], "--out is empty"),
    (
        "ablate",
        ["--study=a", "--neurons=dead", "--out=b", "--max_tokens=7"],
        "--max_tokens needs --corpus",
    ),
    (
        "ablate",
        ["--study=a", "--neurons=dead", "--out=b", "--layers=3"],
        "is not FIRST:LAST",
    ),
    ("make_cards", ["--out=x"], "--corpus=NAME=PATH is required"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return demo_study.Made(tmp_path_factory)


@pytest.fixture
def cache(made):
    return made.cache


@pytest.fixture
def finished(made):
    return made.path


def test_study_writes_everything_and_names_its_figures(made, finished):
    assert made.said.startswith("layer  dead  certified  frequency  detectors n=1")
    assert " neurons are positional; " in made.said and "\nwrote " in made.said
    page = f"wrote the page {finished / 'explorer/index.html'}\n\n"
    before, _, timings = made.said.partition(page)
    assert before
    seconds = {line[:12].strip(): float(line[12:-2]) for line in timings.splitlines()}
    *stages, whole = seconds
    assert whole == "in all"
    assert seconds[whole] == pytest.approx(sum(map(seconds.get, stages)), abs=0.5)
    kept = json.loads((finished / "study.json").read_bytes())["seconds"]
    assert stages == [
        *("start", "model", "text", "preparation"),
        *("layers", "analysis", "figures", "page"),
    ]
    assert set(stages) - kept.keys() == {"page"}
    assert seconds["layers"] == pytest.approx(kept["layers"], abs=0.06)
    assert any(made.programs.rglob("jit_step*"))
    assert {file.name for file in finished.iterdir()} == {
        "arrays",
        "detectors_1.jsonl",
        "detectors_2.jsonl",
        "detectors_3.jsonl",
        "explorer",
        "figures",
        "positional.jsonl",
        "study.json",
        "study.log",
        "summary.json",
        "tokenizer.json",
    }
    summary = json.loads((finished / "summary.json").read_bytes())
    assert summary["activation"]["tokens"] == demo_study.MAX_TOKENS
    figures = {file.stem for file in (finished / "figures").glob("*.svg")}
    assert {"figure_1a_dead_neurons", "figure_8_positional_neurons"} <= figures
    captions = (finished / "figures/captions.md").read_text()
    assert captions.count("\n## Figure ") == len(figures)
    assert "\nFigures not drawn: " not in captions
    assert figures == {file.stem for file in (finished / "figures").glob("*.png")}


def test_study_opens_with_xarray(finished):
    arrays = xarray.open_zarr(finished / "arrays")
    assert arrays["activation_count"].dims == ("domain", "layer", "neuron")
    assert arrays["position_count"].sizes["position"] == 256
    assert arrays["candidate_2_ngram"].dims == ("candidate_2", "token_2")
    assert (arrays["ngram_activation_count"] >= 0).all()


def test_study_says_what_it_works_with(finished):
    lines = (finished / "study.log").read_text().splitlines()
    said = [line.partition(" ")[2] for line in lines]
    assert said[0].startswith("studying opt-0.3m") and said[0].endswith(str(finished))
    assert said[1] == (
        "opt-0.3m: 4 layers; 1,024 neurons per layer; weights in float16, computed in float32"
    )
    assert said[2] == "1 device: cpu"
    # Four domains share 16,384 tokens.
    read = [re.match(r"text (\w+): .* 4,096 tokens", line)[1] for line in said[3:7]]
    assert read == ["code_python", "cyrillic", "freelaw", "wikipedia"]
    assert said[7].startswith("memory: hidden states in memory; up to ")
    assert [line.split(":")[0] for line in said[8:12]] == [
        f"layer {layer} of 4" for layer in range(4)
    ]


@pytest.mark.fault(case=30)
@cases.each("script, flags, words", WITHOUT_MEANING)
def test_flags_without_meaning_are_2_and_one_line(cache, script, flags, words):
    done = run_script(cache, script, *flags)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@cases.each("script", SCRIPTS)
def test_help_loads_nothing_heavy(script):
    program = (
        "import runpy, sys\n"
        f"sys.argv = [{str(REPOSITORY / 'scripts' / f'{script}.py')!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'jax', 'matplotlib', 'pandas', 'tensorstore', 'torch', 'transformers'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    assert "\nFlags:\n  --" in run_python(program)


@cases.each(
    "script, variable, value",
    [
        ("study", "JAX_PLATFORMS", "nowhere"),
        ("study", "JAX_ENABLE_X64", "perhaps"),
        ("train", "JAX_PLATFORMS", "nowhere"),
        ("gpu_check", "JAX_PLATFORMS", "nowhere"),
        ("study", "XLA_FLAGS", "--nonsense"),
    ],
    every_day=[
        ("study", "JAX_ENABLE_X64", "perhaps"),
        ("train", "JAX_PLATFORMS", "nowhere"),
        ("study", "XLA_FLAGS", "--nonsense"),
    ],
)
def test_a_jax_that_cannot_start_is_2_and_one_line(
    cache, tmp_path, script, variable, value
):
    path = tmp_path / "new"
    flags = {
        "study": [f"--study={path}"],
        "train": [f"--out={path}", f"--corpus=a={REPOSITORY / 'README.md'}"],
        "gpu_check": [f"--out={path}"],
    }
    done = run_script(cache, script, *flags[script], **{variable: value})
    error = done.stderr.splitlines()[-1]
    assert (done.returncode, path.exists()) == (2, False)
    assert re.search("JAX cannot start|jax cannot be imported", error)
    assert variable in error and value in error
    assert len(done.stderr.splitlines()) <= 2


def test_finished_study_is_refused_in_one_line(finished, cache):
    again = run_script(cache, "study", f"--study={finished}", "--max_tokens=8192")
    assert again.returncode == 73
    assert again.stderr.count("\n") == 1


@cases.each("given", ["environment", "flag"])
def test_a_cache_that_cannot_be_written_is_one_line_with_the_remedy(tmp_path, given):
    (tmp_path / "file").touch()
    flags = [f"--cache={tmp_path / 'file'}"] if given == "flag" else []
    done = run_script(
        tmp_path / "file", "study", f"--study={tmp_path / 'study'}", *flags
    )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (74, False)
    assert f"cannot write {tmp_path / 'file'}" in last
    assert "Set JAXNEURONS_CACHE or pass --cache" in last


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


@pytest.mark.campaign
def test_analyze_in_place_with_the_same_thresholds_changes_nothing(finished, cache):
    before = (finished / "summary.json").read_bytes()
    done = run_script(cache, "analyze", f"--study={finished}")
    assert done.returncode == 0, done.stderr
    assert (finished / "summary.json").read_bytes() == before


def test_analyze_refuses_what_the_candidates_cannot_answer(finished, cache):
    refused = run_script(cache, "analyze", f"--study={finished}", "--most_ngrams=65")
    assert refused.returncode == 2
    assert "Run the study again" in refused.stderr
    assert "--candidate_coverage=65" in refused.stderr


@pytest.mark.campaign
def test_ablate_the_study_on_its_own_text_and_on_other(finished, cache, tmp_path):
    chosen = tmp_path / "neurons.csv"
    chosen.write_text("layer,neuron\n0,899\n3,4\n3,5\n")
    flags = [f"--study={finished}", f"--out={tmp_path / 'out'}", "--controls=1"]
    done = run_script(
        cache, "ablate", *flags, "--neurons=positional", "--layers=0:0", "--mode=mean"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "ablation.json").read_bytes())
    assert (found["mode"], len(found["controls"])) == ("mean", 1)
    assert len(found["positions"]["base"]) == 255 and found["triggers"] == {}
    assert f"{found['base']['wikipedia']:.5f}" in done.stdout
    taken = run_script(cache, "ablate", *flags, f"--neurons={chosen}")
    assert (taken.returncode, taken.stderr.count("\n")) == (73, 1)


def test_ablate_on_other_text(finished, cache, tmp_path):
    chosen = tmp_path / "neurons.csv"
    chosen.write_text("layer,neuron\n0,899\n3,4\n3,5\n")
    other = run_script(
        cache,
        "ablate",
        f"--study={finished}",
        f"--neurons={chosen}",
        f"--out={tmp_path / 'other'}",
        "--controls=0",
        f"--corpus=mathematics={dict(demo.sources(demo.RUNNING_TEXT))['dm_mathematics']}",
        "--max_tokens=2000",
    )
    assert other.returncode == 0, other.stderr
    found = json.loads((tmp_path / "other" / "ablation.json").read_bytes())
    assert found["base"].keys() == {"overall", "mathematics"}
    assert found["positions"] != {} and found["neurons"] == 3


def test_figures_of_two_studies_without_a_device_or_a_window(finished, cache, tmp_path):
    copy = tmp_path / "lr=0.1" / "study"
    shutil.copytree(finished, copy)
    out = tmp_path / "figures"
    done = run_script(
        cache,
        "figures",
        f"--study={copy}",
        f"--study=again={copy}",
        f"--out={out}",
        JAX_PLATFORMS="nowhere",
        MPLBACKEND="nothing",
    )
    assert done.returncode == 0, done.stderr
    assert "again" in (out / "figure_1a_dead_neurons.svg").read_text()
    assert done.stdout.count(".png") == len(list((finished / "figures").glob("*.png")))
    assert "Figures not drawn" not in done.stdout


@pytest.mark.campaign
def test_convert_without_a_device(cache, tmp_path):
    store = tmp_path / "store"
    model = demo.directory(demo.RUNNING_TEXT)
    flags = [f"--hf={model}", f"--store={store}"]
    done = run_script(cache, "convert_opt", *flags, JAX_PLATFORMS="nowhere")
    assert done.returncode == 0, done.stderr
    again = run_script(cache, "convert_opt", *flags)
    assert (again.returncode, again.stderr.count("\n")) == (73, 1)


@pytest.mark.campaign
def test_study_a_store(cache, tmp_path):
    store = tmp_path / "store"
    flags = [f"--hf={demo.directory(demo.RUNNING_TEXT)}", f"--store={store}"]
    assert run_script(cache, "convert_opt", *flags).returncode == 0
    done = run_script(
        cache,
        "study",
        f"--model={store}",
        f"--corpus=mathematics={dict(demo.sources(demo.RUNNING_TEXT))['dm_mathematics']}",
        f"--study={tmp_path / 'study'}",
        "--max_tokens=1000",
        "--nongrams",
        "--layers=0:1",
        "--window=64",
        "--dtype=bfloat16",
    )
    assert done.returncode == 0, done.stderr
    study = json.loads((tmp_path / "study" / "study.json").read_bytes())
    assert study["layers"]["asked"] == [0, 1]
    assert study["settings"]["dtype"] == "bfloat16"

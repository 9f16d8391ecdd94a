"""The whole process beside transformers: what each side reads and writes, and how the times are told."""

import json
import pathlib
import runpy
import sys

import numpy as np
import pytest

from convert import opt
from jaxneurons import config
from jaxneurons.benchmark import processes, products, run, whole_process, workload
from jaxneurons.store import reading

CASE = workload.checked(
    config.Config(
        vocab_size=4096,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    ),
    layers=None,
    tokens=1024,
    window=64,
    windows_per_batch=2,
    dtype="float32",
)


@pytest.fixture(scope="module")
def contenders(tmp_path_factory):
    """By name, with a script that writes what a study of three seconds would."""
    folder = tmp_path_factory.mktemp("whole")
    script = folder / "study.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "given = dict(each[2:].split('=', 1) for each in sys.argv[1:])\n"
        "assert given['window'] == '64' and pathlib.Path(given['model'], 'config.json').exists()\n"
        "path = pathlib.Path(given['study'])\n"
        "path.mkdir()\n"
        "(path / 'study.json').write_text(json.dumps({'seconds': {'layers': 3.0}}))\n"
    )
    return {c.name: c for c in whole_process.contenders(CASE, script, folder)}


def test_ours_is_a_study_of_the_model_and_of_the_embedded_text(contenders):
    found = whole_process.make(*contenders["ours"].arguments)()
    assert found["stages"] == {"layers": 3.0}
    assert found["wall_seconds"] > 0 and found["peak"] > 2**20


def test_transformers_counts_each_neuron_of_the_same_model(
    contenders, tmp_path, monkeypatch
):
    pytest.importorskip("torch")
    _, (*_, arguments) = contenders["transformers, sdpa"].arguments
    out = str(tmp_path / "counts.npz")
    given = json.dumps(json.loads(arguments) | {"out": out})
    monkeypatch.setattr(sys, "argv", ["whole_peer", given])
    runpy.run_module("jaxneurons.benchmark.whole_peer", run_name="__main__")
    counts = np.load(out)["counts"]
    assert counts.shape == (2, 64)
    # Some neurons are active often, most seldom.
    shares = counts[0] / CASE.tokens
    assert np.median(shares) < 0.1 and 0.3 < shares.max() < 1


def test_the_models_directory_is_one_that_is_converted(contenders, tmp_path):
    (folder, _) = contenders["ours"].arguments
    opt.convert(folder / "model", tmp_path / "store")
    store = reading.open_store(tmp_path / "store")
    assert store.config.ffn_dim == 64 and store.read_tokenizer() is not None


def test_a_product_is_as_fast_as_its_fastest_call():
    found = products.make("jax", 16, "float32")()
    assert 0 < found["wall_seconds"] < 60


def results_of(seconds):
    """Rounds of which these are the seconds."""
    told = {"stages": {"layers": 6.0, "figures": 2.0}, "peak": 2**30}
    return {
        name: processes.Result(
            [told | {"wall_seconds": s, "cpu_seconds": s} for s in each], 0
        )
        for name, each in seconds.items()
    }


def test_ratios_are_of_the_same_round_beside_both_rates():
    seconds = {"ours": [8.0, 10.0], "transformers, sdpa": [12.0, 10.0]}
    seconds |= {name: [2**-10] for name in whole_process.PRODUCTS}
    summary = whole_process.summarize(CASE, results_of(seconds))
    found = summary["contenders"]
    assert found["transformers, sdpa"]["ours_is_faster_by"] == 1.25
    assert found["ours"]["ours_is_faster_by"] == 1
    assert summary["rates"] == dict.fromkeys(
        whole_process.PRODUCTS, 2 * whole_process.SIZE**3 * 2**10
    )
    report = whole_process.to_markdown(summary)
    assert "Ours: layers 6.0 s, figures 2.0 s." in report
    assert "product, torch: 17592 GFLOP/s." in report


def test_a_report_says_where_it_was_measured_and_is_written(tmp_path):
    mode = run.whole_process_mode(pathlib.Path("study.py"), tmp_path)._replace(
        contenders=lambda case: [],
        summarize=lambda case, results: {"contenders": dict(results)},
        to_markdown=lambda summary: f"measured: {summary['contenders']}",
    )
    said = []
    report = run.run("whole", mode, CASE, 1, tmp_path / "out.json", said.append)
    assert report.endswith("measured: {}") and "load average" in report
    written = json.loads((tmp_path / "out.json").read_bytes())
    assert written["mode"] == "whole" and written["rounds"] == {}
    assert (tmp_path / "out.md").read_text() == f"{report}\n"

"""The benchmark: its arithmetic by known answers, its contenders against each other, and its command as it stands."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

from jaxneurons import config, errors
from jaxneurons.benchmark import (
    comparison,
    layer_parts,
    ours,
    processes,
    profile,
    roofline,
    run,
    scaling,
    trace,
    workload,
)
from jaxneurons.stream import step
from tests.support import cases, helpers

CONFIG = config.Config(
    vocab_size=300,
    hidden_size=32,
    ffn_dim=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)


def tiny(**changes):
    sizes = {
        "layers": None,
        "tokens": 512,
        "window": 64,
        "windows_per_batch": 2,
        "dtype": "float32",
    }
    return workload.checked(CONFIG, **(sizes | changes))


@cases.each(
    "changes, message",
    [
        ({"layers": 3}, "layers is 3. Choose 1 to 2"),
        ({"layers": 0}, "layers is 0. Choose 1 to 2"),
        ({"window": 65}, "window is 65. Choose 1 to 64"),
        ({"tokens": 500}, "tokens is 500. Choose a multiple"),
        ({"windows_per_batch": 0}, "Choose a multiple"),
    ],
)
def test_impossible_workloads_are_refused(changes, message):
    with pytest.raises(errors.UsageError, match=message):
        tiny(**changes)


def test_text_begins_with_begin_tokens_and_is_unequal():
    tokens = workload.make_tokens(tiny(tokens=64 * 200))
    assert tokens.shape == (200, 64)
    assert (tokens[:, 0] == CONFIG.document_start_token_id).all()
    assert not np.isin(tokens[:, 1:], CONFIG.special_tokens).any()
    counts = np.bincount(tokens[:, 1:].ravel())
    assert counts.max() > 20 * np.median(counts[counts > 0])


def test_operations_of_products_are_those_of_a_loop():
    """Two operations for every multiplication; attention sees half of all pairs of positions."""
    hidden, neurons, positions = 32, 64, 2 * 64
    products = workload.layer_products(tiny())
    assert products["attention projections"] == 2 * 4 * positions * hidden * hidden
    assert products["feed-forward"] == 2 * 2 * positions * hidden * neurons
    assert products["attention"] == 2 * 2 * (2 * 64 * 64 / 2) * hidden


@cases.each("counted", ours.COUNTED)
def test_ours_counts_what_it_says(counted):
    reduction = ours.make_reduction(
        tiny(), ours.make_windows(tiny()), counted, ours.make_spread(tiny())
    )
    states = step.init_states(reduction.init, ours.make_spread(tiny()).mesh)
    arrays = reduction.finalize(reduction.merge(states))
    wanted = ("activation_count", "position_count", "ngram_coverage", "example_value")
    found = [name in arrays for name in wanted]
    assert found == [ours.COUNTED.index(counted) > number for number in range(4)]


@cases.each("attention", ["sdpa", "eager"], every_day=["sdpa"])
def test_peers_count_as_much_as_ours(attention):
    pytest.importorskip("torch")
    from jaxneurons.benchmark import peers

    case = tiny(tokens=64 * 64)
    found = peers.make(case, attention)()["active_share"]
    assert found == pytest.approx(
        ours.make(case, "activations")()["active_share"], rel=0.1
    )
    assert 0.02 < found < 0.3


def test_parts_of_a_layer_are_all_measured():
    measured = {"wall_seconds": 1.0} | layer_parts.make(tiny())()
    forward = {"wall_seconds": 2.0, "cpu_seconds": 4.0}
    results = {
        roofline.NAME: processes.Result([measured], 0),
        roofline.FORWARD: processes.Result([forward], 0),
    }
    summary = roofline.summarize(tiny(), results)
    assert summary["ceiling"] > 0
    assert set(summary["parts"]) == {*measured["parts"], roofline.FORWARD}
    # Two layers, four batches.
    operations = 8 * summary["parts"]["layer"]["operations"]
    assert summary["parts"][roofline.FORWARD]["rate"] == operations / 2
    assert summary["parts"]["layer"]["layer_share"] == 1
    assert "of ceiling" in roofline.to_markdown(summary)


def results_of(seconds):
    return {
        name: processes.Result(
            [
                {"wall_seconds": s, "cpu_seconds": 2 * s, "layer_end_cpu_seconds": 1.0}
                for s in each
            ],
            peak_bytes=2**30,
        )
        for name, each in seconds.items()
    }


def test_ratios_are_of_the_same_round():
    """Slow minutes at different times: ratios by round are 2, 1 and 3, those of medians 3."""
    seconds = {name: [1.0, 1.0, 1.0] for name in comparison.OURS}
    seconds[comparison.EVERYTHING] = [10, 200, 30]
    seconds[comparison.REFERENCE] = [20, 200, 90]
    summary = comparison.summarize(tiny(), results_of(seconds))
    found = summary["contenders"][comparison.EVERYTHING]
    assert found["wall_speed_ratio"] == found["cpu_speed_ratio"] == 2
    assert found["tokens_per_second"] == 512 / 30


def test_costs_are_shares_of_a_forward_pass_that_counts_nothing():
    seconds = {
        comparison.NOTHING: [10, 100, 10],
        comparison.POSITIONS: [11, 110, 11],
        comparison.NGRAMS: [12.5, 125, 20],
        comparison.EVERYTHING: [12.7, 127, 20.1],
    }
    summary = comparison.summarize(tiny(), results_of(seconds))
    assert summary["ngram_percent"] == pytest.approx({"wall": 15, "cpu": 15})
    assert summary["example_percent"] == pytest.approx({"wall": 2, "cpu": 2})
    assert summary["layer_end_percent"] == pytest.approx(5)
    last = comparison.to_markdown(summary).splitlines()[-1]
    assert "cost 15.0 % of the forward pass" in last and "examples 2.0 %" in last


def test_without_peers_there_are_no_ratios():
    results = results_of({name: [1.0] for name in comparison.OURS})
    table = comparison.to_markdown(comparison.summarize(tiny(), results))
    assert "| ours, everything | 512 | 1.00 | 2.00 | – | – | 1.00 |" in table


def test_growth_is_fitted():
    case = tiny()
    points = scaling.workloads(case)
    assert [point.tokens for point in points["tokens"]] == [128, 256, 512]
    assert [p.config.num_hidden_layers for p in points["layers"]] == [1, 2]
    assert {p.tokens for p in points["layers"]} == {128}
    seconds = {
        contender.name: [1e-6 * w.tokens**1.5 * w.config.num_hidden_layers]
        for contender in scaling.contenders(case)
        for w in contender.arguments[:1]
    }
    summary = scaling.summarize(case, results_of(seconds))
    assert summary["tokens"]["wall_exponent"] == pytest.approx(1.5)
    assert summary["layers"]["cpu_exponent"] == pytest.approx(1)
    assert "change by +100.0 %" in scaling.to_markdown(summary)
    assert scaling.growth_exponent([1], [1.0]) is None


HLO = """HloModule jit_step

%inner (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %dot.1 = f32[2]{0} dot(%p, %p), metadata={op_name="jit(step)/Block/attention/while/dot_general"}
}

%bare (q: f32[2]) -> f32[2] {
  %q = f32[2]{0} parameter(0)
  ROOT %dot.2 = f32[2]{0} dot(%q, %q)
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %x = f32[2]{0} parameter(0)
  %fused.3 = f32[2]{0} fusion(%x), kind=kCustom, calls=%inner
  %slice.4 = f32[2]{0} slice(%x), slice={[0:2]}, metadata={op_name="jit(step)/Block/attention/slice"}
  %fused.5 = f32[2]{0} fusion(%slice.4, %x), kind=kCustom, calls=%bare
  ROOT %exp.2 = f32[2]{0} exponential(%fused.3), metadata={op_name="jit(step)/Block/attention/while/exp"}
}
"""


def test_an_operation_comes_from_where_it_says_or_what_it_calls():
    paths = trace.operation_paths(HLO)
    assert paths["fused.3"] == "jit(step)/Block/attention/while/dot_general"
    assert paths["exp.2"] == "jit(step)/Block/attention/while/exp"
    assert paths["fused.5"] == "jit(step)/Block/attention/slice/dot"
    assert paths["x"] == ""


def test_seconds_of_a_trace_are_summed_by_part():
    def event(module, operation, microseconds):
        arguments = {"hlo_module": module, "hlo_op": operation}
        return {"dur": microseconds, "args": arguments}

    events = [
        event("jit_step", "fused.3", 1e6),
        event("jit_step", "fused.5", 1e6),
        event("jit_step", "exp.2", 5e5),
        event("jit_step", "while.7", 9e6),
        event("jit_step", "elsewhere", 3e6),
        event("jit_count", "fused.3", 4e6),
        {"name": "no operation"},
    ]
    assert trace.seconds_by_part(events, trace.operation_paths(HLO)) == {
        "attention, products": 2.0,
        "attention, softmax": 0.5,
        trace.COUNTING: 3.0,
        trace.LAYER_END: 4.0,
    }


def test_a_real_trace_knows_every_part(tmp_path):
    path = tmp_path / "trace.json.gz"
    found = trace.make(tiny(), path)() | {"wall_seconds": 1.0}
    wanted = {*trace.PARTS, trace.COUNTING, trace.LAYER_END, trace.EMBEDDING}
    assert wanted - {"residual stream"} <= found["parts"].keys() <= wanted
    assert json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    results = {profile.NAME: processes.Result([found], 0)}
    summary = profile.summarize(tiny(), results)
    assert sum(part["share"] for part in summary["parts"].values()) == pytest.approx(1)
    shares = [part["share"] for part in summary["parts"].values()]
    assert shares == sorted(shares, reverse=True)
    assert profile.to_markdown(summary).splitlines()[-1].startswith("Largest: ")


def test_a_trace_that_lacks_events_is_refused():
    found = {"parts": {"attention": 1.0}, "events": profile.MOST_EVENTS}
    results = {profile.NAME: processes.Result([found], 0)}
    with pytest.raises(errors.UsageError, match="tokens 512, layers 2: a trace holds"):
        profile.summarize(tiny(), results)


@cases.each(
    "out, trace_name, kind",
    [
        ("same", "same", errors.UsageError),
        ("same.json", "same.md", errors.UsageError),
        ("report.md", "trace", errors.UsageError),
        ("there", "trace", errors.OutputExistsError),
        ("report.json", "there", errors.OutputExistsError),
        ("folder", "trace", errors.InputOutputError),
        ("report.json", "nowhere/trace", errors.InputOutputError),
    ],
)
def test_places_are_looked_at_before_anything_is_measured(
    tmp_path, out, trace_name, kind
):
    (tmp_path / "there").write_text("")
    (tmp_path / "folder").mkdir()
    mode = run.profile_mode(tmp_path / trace_name)
    with pytest.raises(kind):
        run.run("profile", mode, tiny(), 1, tmp_path / out, pytest.fail)
    assert {path.name for path in tmp_path.iterdir()} == {"there", "folder"}


@pytest.mark.campaign
def test_a_contender_that_fails_is_named(capfd):
    broken = dataclasses.replace(tiny(), dtype="float7")
    contender = processes.Contender(
        "the broken one", "jaxneurons.benchmark.ours", (broken, "nothing")
    )
    with pytest.raises(errors.JaxneuronsError, match="'the broken one' ended before"):
        processes.alternate([contender], 1)
    assert "float7" in capfd.readouterr().err


@cases.each("kept", [False, True])
def test_peers_run_as_they_come_unless_asked(kept):
    mode = run.comparison_mode(peers_keep_memory=kept)
    keeps = {c.name: c.keeps_freed_memory for c in mode.contenders(tiny())}
    assert all(keeps[name] for name in comparison.OURS)
    others = [keeps[name] for name in comparison.PEERS if name in keeps]
    assert others == [kept] * len(others)


def test_peers_are_asked_for_where_there_are_some():
    done = run_command("--peers_keep_memory", "--roofline")
    assert done.returncode == 2
    wanted = "benchmark.py: --peers_keep_memory and --roofline exclude each other.\n"
    assert done.stderr == wanted


def run_command(*flags):
    return helpers.run_script("", "benchmark", *flags)


@pytest.mark.campaign
@cases.each("mode", ["comparison", "roofline", "whole_process"])
def test_command(tmp_path, mode):
    """All contenders, each in a process of its own."""
    out = tmp_path / "found.json"
    sizes = ["--shape=demo", "--layers=1", "--tokens=512", "--window=64", "--repeats=2"]
    command = [*sizes, f"--out={out}"] + [f"--{mode}"] * (mode != "comparison")
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert "interrupted" not in done.stderr
    assert out.with_suffix(".md").read_text() == done.stdout
    found = json.loads(out.read_text())
    assert found["mode"] == mode
    assert found["workload"]["config"]["num_hidden_layers"] == 1
    assert all(len(rounds) == 2 for rounds in found["rounds"].values())
    if mode == "comparison":
        assert "N-grams (n = 1, 2, 3 together) cost" in done.stdout.splitlines()[-1]
        for contender in found["summary"]["contenders"].values():
            assert contender["peak_bytes"] > 2**27
    if mode == "whole_process":
        assert found["summary"]["contenders"]["ours"]["ours_is_faster_by"] == 1
        assert found["summary"]["stages"].keys() >= {"model", "text", "layers"}
        assert "product, JAX: " in done.stdout.splitlines()[-1]
    again = run_command(*command)
    assert again.returncode == errors.OutputExistsError.exit_code
    assert len(again.stderr.splitlines()) == 1

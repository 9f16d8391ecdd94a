"""The checks of an accelerator: their reference against the block, what a failing one leaves, and the whole at toy sizes."""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.benchmark.gpu import (
    ends,
    exactness,
    figure,
    parts,
    run,
    sizes,
    speed,
    streaming,
)
from jaxneurons.benchmark.gpu.figure import Figure
from tests.support import cases
from tests.support.helpers import run_script

ROOT = pathlib.Path(__file__).parents[2]


def values(figures, words):
    return [figure.value for figure in figures if words in figure.name]


@pytest.fixture(scope="module")
def against_reference():
    return list(exactness.against_reference(sizes.TOY))


def test_the_reference_agrees_with_float32_and_less_with_16_bits(against_reference):
    (exact,) = values(against_reference, "true float32: error")
    (half,) = values(against_reference, ", float16: error")
    (brain,) = values(against_reference, "bfloat16: error")
    assert exact < 1e-3 < half < 5 and brain < 20
    assert values(against_reference, "true float32: masks") == [0]
    assert not any(figure.is_wrong for figure in against_reference)


def test_a_wrong_block_would_be_seen(monkeypatch):
    plain = exactness.block.attention.causal_attention
    monkeypatch.setattr(
        exactness.block.attention,
        "causal_attention",
        lambda query, key, value, *rest: plain(query, key, value + 1, *rest),
    )
    found = exactness.against_reference(sizes.TOY)
    # The first two will do: what follows in other arithmetics would be compiled for nothing.
    error, masks = itertools.islice(found, 2)
    assert error.value > 1 and masks.is_wrong


def test_integers_that_differ_are_named():
    found = list(exactness.integers(sizes.TOY))[1]
    assert found.value == "none" and not found.is_wrong
    there = {"count": np.arange(3), "value": np.array([1, np.nan])}
    assert exactness.differing(there, there) == []
    assert exactness.differing(there | {"count": np.arange(3) + 1}, there) == ["count"]


def test_weights_come_from_everywhere():
    found = list(streaming.places(sizes.TOY))
    assert [figure.unit for figure in found] == [
        "ms per layer",
        "ms per layer",
        "%",
    ] * 4
    assert all(np.isfinite(figure.value) for figure in found)


@cases.each(
    "part, problem",
    [
        (("time", "sleep", (60,)), "not finished within 3 s"),
        (("os", "_exit", (3,)), "failed: its process ended"),
        (("operator", "truediv", (1, 0)), "failed: ZeroDivisionError: division"),
    ],
)
def test_a_part_that_fails_says_so_and_ends(part, problem):
    outcome = parts.run(parts.Part("broken", *part), 3 if part[0] == "time" else 60)
    assert outcome.problem.startswith(problem)
    assert outcome.figures == []


def test_figures_found_before_a_failure_are_kept():
    broken = dataclasses.replace(sizes.TOY, head_sizes=(16, 0))
    module = "jaxneurons.benchmark.gpu.exactness"
    part = parts.Part("half", module, "against_reference", (broken,))
    outcome = parts.run(part, 120)
    assert len(outcome.figures) == 2 * len(exactness.arithmetics())
    assert outcome.problem.startswith("failed: ConfigError: not a model that is")
    assert parts.run(part, 0).problem == "not run: no time left"


@cases.each(
    "chosen, message",
    [
        (
            (False, None, 60),
            "no accelerator to check: JAX finds the CPU alone. Install",
        ),
        (
            (True, ["step", "speed"], 60),
            "no part 'speed'. Choose of float64, attention",
        ),
        ((True, [], 60), "no part is chosen. Choose of float64, attention"),
    ],
)
def test_what_cannot_be_checked_is_refused(monkeypatch, chosen, message):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(errors.UsageError, match=message):
        run.run(*chosen, print)


def test_what_is_wrong_or_failed_is_told_apart_from_the_rest():
    figures = [Figure("a", 1.0), Figure("b", math.nan, "%", is_wrong=True)]
    outcomes = {
        "whole": parts.Outcome(figures, "", 1.0),
        "half": parts.Outcome([], "failed: it ended", 1.0),
    }
    assert run.find_problems(outcomes) == ["whole: b: nan %", "half: failed: it ended"]
    assert figure.to_json(figures[1])["value"] == "nan"


def test_a_layers_end_and_a_step_are_timed():
    figures = [
        *speed.layer_step(sizes.TOY, "toy"),
        *speed.copies(sizes.TOY),
        *speed.float32_step(sizes.TOY),
        *ends.layer_end(sizes.TOY, "toy"),
    ]
    assert values(figures, "counted") and values(figures, "pinned to device")[0] > 0
    # The rare neurons are not active at all in so short a text.
    assert values(figures, "candidates looked through")
    assert all(np.isfinite(figure.value) for figure in figures)


def test_a_part_is_checked_and_its_figures_are_written(tmp_path):
    out = tmp_path / "found.json"
    flags = ["--toy", "--parts=attention", f"--out={out}"]
    done = run_script(tmp_path, "gpu_check", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n\n2 of 2 parts came to their end.\n")
    assert json.loads(out.read_text())["parts"].keys() == {"device", "attention"}


def test_the_ceilings_of_this_machine_are_measured():
    found = {figure.name: figure for figure in speed.device(sizes.TOY)}
    assert found["platform"].value == jax.default_backend()
    rates = list(speed.ceilings(sizes.TOY))
    assert [figure.unit for figure in rates].count("TFLOP/s") >= 4
    assert rates[-1].unit == "GB/s" and all(figure.value > 0 for figure in rates)


@pytest.mark.campaign
def test_command(tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/gpu_check.py", "--toy", f"--out={out}"],
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "not run: no cuDNN" in done.stdout
    found = json.loads(out.read_text())["parts"]
    assert {part["problem"] for part in found.values()} == {""}
    assert all(part["figures"] for part in found.values())

"""Whole runs: losses below n-gram models, the same bits after an interruption, and every refusal."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors.numpy

from jaxneurons import errors
from jaxneurons.training import losses, train
from jaxneurons.training import run as runs
from jaxneurons.training.request import Cadence
from tests.support import cases, training_runs, training_text
from tests.support.helpers import REPOSITORY, run_script

RECIPE = training_runs.RECIPE


def saved_steps(path):
    return sorted(int(saved.name) for saved in (path / "checkpoints").iterdir())


def test_loss_falls_below_unigram_and_bigram_models(folder):
    run = runs.open_run(folder / "run")
    lines = losses.read(run.losses)
    unigram, bigram = run.baselines["unigram"], run.baselines["bigram"]
    assert [line["step"] for line in lines] == list(range(0, 121, 5))
    assert lines[0]["validation_loss"] > unigram > bigram > 1
    assert lines[-1]["validation_loss"] < bigram - 0.1
    assert saved_steps(run.path) == [0, 20, 80, 120]
    assert (run.path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "step 120 of 120, loss " in (run.path / "train.log").read_text()


def test_a_finished_run_says_so_and_is_left_alone(folder):
    before = training_runs.outcome(folder / "run")
    with pytest.raises(errors.OutputExistsError, match="run is finished"):
        train.train(training_runs.request(folder, folder / "run"))
    assert training_runs.outcome(folder / "run") == before


@pytest.mark.fault(case=30)
def test_a_run_continues_from_a_checkpoint_with_the_same_bits(folder, tmp_path):
    path = training_runs.interrupted(folder / "run", tmp_path / "run", 80)
    # What was logged after the checkpoint is logged anew; a line may be half-written.
    with open(path / "loss.jsonl", "a") as file:
        file.write('{"step": 12')
    # Steps that an earlier command wanted to keep stay.
    forgetful = dataclasses.replace(training_runs.CADENCE, keep=())
    train.train(training_runs.request(folder, path, cadence=forgetful))
    assert training_runs.outcome(path) == training_runs.outcome(folder / "run")
    assert saved_steps(path) == [0, 20, 80, 120]


def start_script(folder, path, **environment):
    return subprocess.Popen(
        [sys.executable, "scripts/train.py", *training_runs.flags(folder, path)],
        cwd=REPOSITORY,
        env=os.environ
        | {"PYTHONPATH": str(REPOSITORY), "JAXNEURONS_CACHE": str(folder / "cache")}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_another_machine_is_said_to_change_last_bits(folder, tmp_path):
    path = training_runs.interrupted(folder / "run", tmp_path / "run", 80)
    run = runs.open_run(path)
    other = dict(run.machine) | {"cores": 1000}
    dataclasses.replace(run, machine=other).write()
    train.train(training_runs.request(folder, path))
    log = (path / "train.log").read_text()
    assert "cores was 1000 and is now" in log and "last bits" in log


# A second half under other settings: each of them changed a bit before it was fixed.
HOSTILE = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "FLAX_FIX_RNG_SEPARATOR": "1",
}


@pytest.mark.fault(case=30)
@pytest.mark.campaign
def test_settings_of_jax_and_flax_change_no_bit(folder, tmp_path):
    path = training_runs.interrupted(folder / "run", tmp_path / "run", 80)
    child = start_script(folder, path, **HOSTILE)
    _, said = child.communicate()
    assert child.returncode == 0, said
    assert training_runs.outcome(path) == training_runs.outcome(folder / "run")


@pytest.mark.fault(case=30)
@pytest.mark.campaign
@cases.each(
    "number, code",
    [(signal.SIGTERM, 75), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_an_interrupted_run_continues_with_the_same_bits(
    folder, tmp_path, number, code
):
    path = tmp_path / "run"
    child = start_script(folder, path)
    log = path / "loss.jsonl"
    while child.poll() is None and not (
        log.exists() and '"step": 50' in log.read_text()
    ):
        time.sleep(0.02)
    child.send_signal(number)
    _, said = child.communicate()
    assert child.returncode == code, said
    if code == 75:
        assert "interrupted; the last checkpoint is of step 40" in said
    assert not runs.open_run(path).finished
    train.train(training_runs.request(folder, path))
    assert training_runs.outcome(path) == training_runs.outcome(folder / "run")


@pytest.mark.fault(case=30)
def test_another_request_is_refused_and_its_differences_are_named(folder):
    text = training_text.write_documents(folder / "other.jsonl", seed=3)
    request = training_runs.request(
        folder,
        folder / "run",
        recipe=dataclasses.replace(RECIPE, seed=5),
        sizes=training_runs.SIZES | {"positions": "none"},
        sources=(("first", folder / "text.jsonl"), ("chain", text)),
    )
    with pytest.raises(errors.MismatchError) as caught:
        train.train(request)
    for difference in (
        "model.positions was 'learned' and is now 'none'",
        "recipe.seed was 0 and is now 5",
        "corpus.chain.fingerprint was",
        "corpus.chain.index was 0 and is now 1",
    ):
        assert difference in str(caught.value)


@pytest.mark.fault(case=30)
def test_two_processes_do_not_train_in_one_directory(folder, tmp_path):
    path = training_runs.interrupted(folder / "run", tmp_path / "run", 80)
    request = training_runs.request(folder, path)
    with (
        runs.open_run(path).locked(),
        pytest.raises(errors.OutputExistsError, match="another process is training"),
    ):
        train.train(request)


@pytest.mark.fault(case=30)
@pytest.mark.campaign
def test_divergence_stops_and_saves_no_broken_state(folder, tmp_path):
    path = tmp_path / "run"
    wild = dataclasses.replace(RECIPE, learning_rate=1e15, warmup_steps=0, steps=5)
    often = Cadence(log_every=1, validate_every=5, checkpoint_every=1)
    request = training_runs.request(folder, path, recipe=wild, cadence=often)
    with pytest.raises(errors.DivergenceError, match="diverged at step 2: "):
        train.train(request)
    lines = losses.read(runs.open_run(path).losses)
    assert [line["step"] for line in lines] == [0, 1]
    assert saved_steps(path) == [1]


@pytest.mark.fault(case=30)
@cases.each(
    "changes, message",
    [
        (
            {"sizes": training_runs.SIZES | {"num_attention_heads": 3}},
            "32 is not a mult",
        ),
        ({"vocab_size": 2**31}, "vocab_size is 2147483648"),
        ({"vocab_size": 100}, "vocab_size is 100, but the tokenizer has 260 entries"),
        (
            {"recipe": dataclasses.replace(RECIPE, activation_penalty=(1.0,) * 3)},
            "activation_penalty has 3 numbers, but must have one, or one for each",
        ),
        ({"cadence": Cadence(keep=(50, 500))}, r"keep, \[500\], are not among .* 120"),
    ],
)
def test_a_request_that_makes_no_run_leaves_nothing(tmp_path, changes, message):
    with pytest.raises(errors.UsageError, match=message):
        train.train(training_runs.request(tmp_path, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_a_step_to_keep_that_has_passed_is_refused(folder, tmp_path):
    path = training_runs.interrupted(folder / "run", tmp_path / "run", 80)
    late = dataclasses.replace(training_runs.CADENCE, keep=(30,))
    with pytest.raises(errors.UsageError, match=r"at step 80 .* of \[30\] to keep"):
        train.train(training_runs.request(folder, path, cadence=late))


def test_text_that_is_too_short_leaves_nothing(tmp_path):
    request = training_runs.request(tmp_path, tmp_path / "run")
    (tmp_path / "text.jsonl").write_text('{"text": "short"}\n{"text": "too"}')
    with pytest.raises(errors.CorpusError, match="no domain has 24 tokens"):
        train.train(request)
    assert not (tmp_path / "run").exists()


@pytest.mark.fault(case=30)
def test_something_else_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(errors.OutputExistsError, match="run exists"):
        train.train(training_runs.request(tmp_path, tmp_path / "run"))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.campaign
def test_a_study_takes_a_training_directory_and_a_step(folder, tmp_path):
    def study(step):
        return run_script(
            tmp_path / "cache",
            "study",
            f"--model={folder / 'run'}",
            f"--step={step}",
            f"--corpus=chain={folder / 'text.jsonl'}",
            "--max_tokens=480",
            "--nongrams",
            f"--study={tmp_path / 'study'}",
        )

    refused = study(3)
    assert refused.returncode == 65
    wanted = "has no checkpoint of step 3. Choose one of [0, 20, 80, 120]."
    assert wanted in refused.stderr
    assert not (tmp_path / "study").exists()
    done = study(20)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "study" / "summary.json").read_bytes())
    assert summary["model"]["neurons"] == 64


def test_export_writes_a_checkpoint_of_the_type_asked_for(folder, tmp_path):
    done = run_script(
        tmp_path / "cache",
        "train",
        f"--out={folder / 'run'}",
        f"--export={tmp_path / 'exported'}",
        "--export_dtype=float16",
    )
    assert done.returncode == 0, done.stderr
    weights = safetensors.numpy.load_file(tmp_path / "exported" / "model.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float16"}

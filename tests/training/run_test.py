"""Whole runs: losses below n-gram models, going on after a kill, and every way to be refused."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.training import data, loop, recipe, run, step
from jaxneurons.training import record as records
from tests.support import tiny_tokenizers, training_text

SIZES = {
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
}
RECIPE = recipe.Recipe(
    steps=120,
    windows_per_step=16,
    warmup_steps=10,
    learning_rate=0.01,
    init_std=0.05,
    dropout=0.02,
)
CADENCE = loop.Cadence(
    log_every=5, validate_every=40, checkpoint_every=40, keep=(0, 20)
)


def make_request(folder: pathlib.Path, **changes) -> run.Request:
    text = folder / "text.jsonl"
    if not text.exists():
        training_text.write_documents(text)
        tiny_tokenizers.save_tokenizer(folder / "tokenizer")
    request = run.Request(
        sources=(("chain", text),),
        out=folder / "run",
        sizes=SIZES,
        recipe=RECIPE,
        tokenizer=folder / "tokenizer",
        validation_share=0.1,
        cadence=CADENCE,
    )
    return dataclasses.replace(request, **changes)


def losses_of(path):
    """Lines of loss.jsonl as written."""
    return (path / "loss.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run.train(make_request(folder))
    return folder


def test_loss_falls_below_unigram_and_bigram_models(folder):
    record = records.open_record(folder / "run")
    lines = record.read_losses()
    baselines = record.entries["baselines"]
    assert [line["step"] for line in lines] == list(range(0, 121, 5))
    assert lines[0]["validation_loss"] > baselines["unigram"] > 1
    assert lines[-1]["validation_loss"] < baselines["bigram"] - 0.1
    assert baselines["bigram"] < baselines["unigram"]
    assert record.finished
    assert (folder / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_checkpoints_asked_for_are_kept(folder):
    steps = sorted(int(path.name) for path in (folder / "run/checkpoints").iterdir())
    assert steps == [0, 20, 80, 120]


def test_what_was_to_be_kept_stays_without_being_asked_for_again(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    forgetful = dataclasses.replace(CADENCE, keep=())
    run.train(make_request(folder, out=path, cadence=forgetful))
    steps = sorted(int(saved.name) for saved in (path / "checkpoints").iterdir())
    assert steps == [0, 20, 80, 120]


def test_a_step_to_keep_that_has_passed_is_refused(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    late = dataclasses.replace(CADENCE, keep=(30,))
    with pytest.raises(errors.UsageError, match="keep .30.: .* at step 80"):
        run.train(make_request(folder, out=path, cadence=late))


def test_a_finished_run_says_so(folder):
    before = losses_of(folder / "run")
    with pytest.raises(errors.OutputExistsError, match="run is finished"):
        run.train(make_request(folder))
    assert losses_of(folder / "run") == before


@pytest.mark.fault(case=30)
def test_other_settings_are_refused_and_named(folder):
    other = dataclasses.replace(RECIPE, seed=5)
    request = make_request(folder, recipe=other, sizes=SIZES | {"positions": "none"})
    with pytest.raises(errors.MismatchError) as caught:
        run.train(request)
    assert "model.positions was 'learned' and is now 'none'" in str(caught.value)
    assert "recipe.seed was 0 and is now 5" in str(caught.value)


@pytest.mark.fault(case=30)
def test_other_text_is_refused(folder):
    training_text.write_documents(folder / "other.jsonl", seed=3)
    request = make_request(folder, sources=(("chain", folder / "other.jsonl"),))
    with pytest.raises(errors.MismatchError, match="corpus.chain was"):
        run.train(request)


def unfinished(folder, tmp_path, step_number):
    """A copy of the finished run as it was when it was killed just after a checkpoint."""
    path = tmp_path / "run"
    shutil.copytree(folder / "run", path)
    record = records.open_record(path)
    records.write_entries(path, record.entries | {"status": "running"})
    for saved in (path / "checkpoints").iterdir():
        if int(saved.name) > step_number:
            shutil.rmtree(saved)
    return path


@pytest.mark.fault(case=30)
def test_goes_on_from_a_checkpoint_with_the_same_bits(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    # What was logged after the checkpoint is logged anew; a line may be half-written.
    with open(path / "loss.jsonl", "a") as file:
        file.write('{"step": 12')
    run.train(make_request(folder, out=path))
    assert losses_of(path) == losses_of(folder / "run")


# Reads that orbax abandons beside a failed one may complain after our error is out.
@pytest.mark.fault(case=30)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_named(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    for file in (path / "checkpoints/80/parameters/d").iterdir():
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(errors.CheckpointError, match="checkpoints/80: damaged"):
        run.train(make_request(folder, out=path))


@pytest.mark.fault(case=30)
def test_another_runs_checkpoint_is_refused(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    record = records.open_record(path)
    identity = record.entries["identity"]
    identity["recipe"]["seed"] = 1
    records.write_entries(path, record.entries | {"identity": identity})
    request = make_request(folder, out=path, recipe=dataclasses.replace(RECIPE, seed=1))
    with pytest.raises(errors.CheckpointError, match="80: a checkpoint of another run"):
        run.train(request)


@pytest.mark.fault(case=30)
def test_a_checkpoint_of_destroyed_parameters_is_never_saved(folder, tmp_path):
    """The first update leaves numbers, but such that the second loss is none."""
    wild = dataclasses.replace(RECIPE, learning_rate=1e25, warmup_steps=0, steps=3)
    often = loop.Cadence(log_every=1, validate_every=5, checkpoint_every=1)
    request = make_request(folder, out=tmp_path / "run", recipe=wild, cadence=often)
    with pytest.raises(errors.DivergenceError, match="step 1: .*checkpoint is none"):
        run.train(request)
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.fault(case=30)
def test_divergence_stops_and_keeps_the_last_good_checkpoint(
    folder, tmp_path, monkeypatch
):
    path = unfinished(folder, tmp_path, 80)
    update = step.update

    def diverging(config, chosen, mesh, state, windows):
        number = int(state.step)
        state, metrics = update(config, chosen, mesh, state, windows)
        broken = number + 1 >= 90
        return state, metrics._replace(
            gradient_norm=metrics.gradient_norm * (np.nan if broken else 1)
        )

    monkeypatch.setattr(step, "update", diverging)
    with pytest.raises(errors.DivergenceError, match="diverged at step 90") as caught:
        run.train(make_request(folder, out=path))
    assert caught.value.exit_code == 65
    assert json.loads(losses_of(path)[-1])["step"] == 85
    steps = sorted(int(saved.name) for saved in (path / "checkpoints").iterdir())
    assert steps == [0, 20, 80]


@pytest.mark.fault(case=30)
def test_interrupt_names_the_step_to_go_on_from(folder, tmp_path, monkeypatch):
    path = unfinished(folder, tmp_path, 80)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "batch", interrupted)
    with pytest.raises(errors.InterruptedRunError, match="goes on from step 80"):
        run.train(make_request(folder, out=path))


def test_no_text_leaves_nothing_behind(tmp_path):
    request = make_request(tmp_path)
    (tmp_path / "text.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(errors.CorpusError, match="no document has any text"):
        run.train(request)
    (tmp_path / "text.jsonl").write_text('{"text": "short"}\n{"text": "too"}')
    with pytest.raises(
        errors.CorpusError, match="no domain has 24 tokens .* smaller --window"
    ):
        run.train(request)
    assert not (tmp_path / "run").exists()


@pytest.mark.fault(case=30)
def test_something_else_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(errors.OutputExistsError, match="run exists"):
        run.train(make_request(tmp_path))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.fault(case=30)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": SIZES | {"num_attention_heads": 3}}, "hidden_size 32 is not a mult"),
        ({"vocab_size": 2**31}, "vocab_size is 2147483648"),
        ({"recipe": dataclasses.replace(RECIPE, warmup_steps=121)}, "at most the 120"),
    ],
)
def test_what_makes_no_model_or_no_run_is_usage(tmp_path, changes, message):
    with pytest.raises(errors.UsageError, match=message):
        run.train(make_request(tmp_path, **changes))
    assert not (tmp_path / "run").exists()


def test_steps_to_keep_must_come(tmp_path):
    request = make_request(tmp_path, cadence=loop.Cadence(keep=(50, 500)))
    with pytest.raises(errors.UsageError, match=r"keep \[500\]: wanted .* 0 to 120"):
        run.train(request)


@pytest.mark.fault(case=30)
def test_a_damaged_manifest_is_refused(folder, tmp_path):
    path = unfinished(folder, tmp_path, 80)
    content = (path / records.MANIFEST).read_text()
    (path / records.MANIFEST).write_text(content.replace("24", "25"))
    with pytest.raises(errors.BadDataError, match="train.json is damaged"):
        run.train(make_request(folder, out=path))


_CHILD = """
import pathlib, sys
from tests import conftest
from tests.training import run_test as test
test.run.train(test.make_request(pathlib.Path(sys.argv[1]), out=pathlib.Path(sys.argv[2])))
"""


@pytest.mark.fault(case=30)
@pytest.mark.slow
def test_goes_on_after_kill_9_with_the_same_bits(folder, tmp_path):
    path = tmp_path / "killed"
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, folder, path],
        env=environment,
        stderr=subprocess.PIPE,
    )
    log = path / "loss.jsonl"
    while child.poll() is None and not (
        log.exists() and '"step": 50' in log.read_text()
    ):
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not records.open_record(path).finished
    run.train(make_request(folder, out=path))
    assert losses_of(path) == losses_of(folder / "run")

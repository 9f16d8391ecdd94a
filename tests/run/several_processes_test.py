"""Several processes make one study together: the bits of one process, whichever end early and however many go on."""

import dataclasses
import functools
import os
import pickle
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons import devices, errors, processes
from jaxneurons.command import backend, distributed, script
from jaxneurons.command.progress import Progress
from jaxneurons.counting import reductions
from jaxneurons.disk import places
from jaxneurons.run import models, texts
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.stream import hidden
from jaxneurons.studies import mirror, opening
from jaxneurons.training import losses, train
from jaxneurons.training import run as runs
from jaxneurons.training.request import Cadence
from tests.support import (
    cases,
    planted,
    planted_ngrams,
    several,
    studies,
    training_runs,
)

PHRASES = [(4,), (5, 6), (7, 8, 9), (9,), (8, 7), (10, 11, 12)]
INTERRUPTED = errors.InterruptedRunError.exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A planted model, a text of two domains, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("several")
    found = [planted_ngrams.ngram(*phrase) for phrase in PHRASES]
    layers = [found, found[::-1], [planted_ngrams.constant(True), *found]]
    planted_ngrams.write_store(folder / "store", layers)
    random = np.random.default_rng(0)
    for name, number in (("one", 60), ("two", 41)):
        phrases = [PHRASES[i] for i in random.integers(0, len(PHRASES), number)]
        documents = planted_ngrams.lay_out(phrases, filler=20)
        planted.write_documents(folder / f"{name}.jsonl", documents)
    assert _codes(1, _run, folder, folder / "whole", _quiet) == [0]
    return folder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study"


def test_two_processes_tell_each_other_what_they_have(path):
    """And an error of the first one is one of both."""
    assert _codes(2, _run, path.parent, path, None, _exchange) == [0, 0]
    assert _codes(2, _run, path.parent, path, None, _fail_first) == [2, 2]


@pytest.mark.campaign
def test_one_ends_the_others_end_and_another_number_goes_on(folder, path):
    """Of two processes one is interrupted while the other is busy alone; three go on."""
    stop = functools.partial(_Signal, path, 1, signal.SIGTERM, "layer 0")
    assert _codes(2, _run, folder, path, stop) == [INTERRUPTED] * 2
    assert opening.open_any(path).done_layers == [0]
    assert _codes(3, _run, folder, path, _quiet) == [0] * 3
    studies.assert_same(path, folder / "whole")
    assert studies.logged_layers(path) == [0, 1, 2]
    # All of it shows something: the last batch is not full, and there are detectors of every kind, and examples.
    record = opening.open_any(path)
    assert len(record.read("tokens")) % 6
    assert (record.read("detector").max(axis=(1, 2)) > 0).all()
    assert (record.read("random_example_window") > 6).any()


@pytest.mark.campaign
def test_a_process_that_dies_takes_the_others_with_it(folder, path):
    """The first one, which the others report to, and another one."""
    for victim in range(2):
        codes = _codes(2, _run, folder, path, None, _die, victim)
        assert codes[victim] == -signal.SIGKILL
        assert codes[1 - victim] not in (0, None)


def test_without_anything_that_says_which_processes_there_are(monkeypatch):
    for name in [*distributed.VARIABLES, "SLURM_JOB_ID"]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(errors.UsageError, match="set JAX_COORDINATOR_ADDRESS, "):
        distributed.start("")


@cases.each(
    "variable, value",
    [
        (0, "node0"),
        (0, "node0:"),
        (0, "node0:0"),
        (0, "node0:99999999"),
        (1, "two"),
        (1, "0"),
        (1, "-2"),
        (2, "first"),
        (2, "-1"),
        (2, "2"),
    ],
)
def test_a_variable_that_means_nothing_is_named(variable, value, monkeypatch):
    for name, right in zip(
        distributed.VARIABLES, ("node0:1234", "2", "1"), strict=True
    ):
        monkeypatch.setenv(name, right)
    monkeypatch.setenv(distributed.VARIABLES[variable], value)
    said = f"{distributed.VARIABLES[variable]} is '{value}'. Set it to "
    with pytest.raises(errors.UsageError, match=said):
        distributed.start("")


@pytest.mark.campaign
def test_a_statistic_of_ones_own_and_an_ablation(folder):
    whole = folder / "whole"
    assert _codes(1, _run, folder, whole, None, _keep_others) == [0]
    assert _codes(2, _run, folder, whole, None, _check_others) == [0, 0]


@pytest.mark.campaign
def test_training(folder, path):
    together, apart = path.parent / "together", path.parent / "apart"
    train.train(_training(folder, apart))
    assert _codes(2, _run, folder, path, None, _train, together) == [0, 0]
    found, expected = (losses.read(each / "loss.jsonl") for each in (together, apart))
    assert [line["step"] for line in found] == [0, 2, 4]
    for line, other in zip(found, expected, strict=True):
        # The sum of gradients is in another order.
        assert line == pytest.approx(other, rel=1e-4)
    assert runs.open_run(together).finished


@pytest.mark.campaign
@pytest.mark.fault(case=24)
def test_killed_at_ten_random_instants(folder, tmp_path):
    """Any of two or three processes; the others end too, and another number of them goes on to the same bits."""
    random = np.random.default_rng(0)
    timed = tmp_path / "timed" / "study"
    timed.parent.mkdir()
    started = _start(2, folder, timed)
    began = time.monotonic()
    assert several.codes(started) == [0, 0]
    longest = time.monotonic() - began
    killed = []
    for number in range(10):
        path = tmp_path / str(number) / "study"
        path.parent.mkdir()
        started = _start(2 + number % 2, folder, path)
        victim = random.integers(len(started))
        time.sleep(random.uniform(0, longest))
        started[victim].kill()
        codes = several.codes(started)
        assert None not in codes, codes
        killed.append((int(victim), codes))
        if not path.exists() or not opening.open_any(path).facts.complete:
            assert not any(_codes(3 - number % 2, _run, folder, path, _quiet))
        studies.assert_same(path, folder / "whole")
    print(f"case 24: several processes, the one killed, and how all ended: {killed}")


def _start(number, folder, path):
    """Processes that make a study, once they have joined."""
    started = several.start(number, _run, folder, path, _quiet)
    while len(list(path.parent.glob("joined*"))) < number:
        time.sleep(0.1)
    return started


def _codes(number, target, *arguments):
    return several.codes(several.start(number, target, *arguments))


def _run(folder, path, make_progress, then=lambda *_: None, *arguments):
    """One of several processes, as a command: makes the study or goes on with it, if any, and then does the rest."""
    index = os.environ["SLURM_PROCID"]
    (path.parent / f"pid{index}").write_text(str(os.getpid()))

    @script.command
    def main():
        is_alone = os.environ["SLURM_NTASKS"] == "1"
        backend.start(None, folder / "cache", several=not is_alone)
        (path.parent / f"joined{index}").touch()
        if make_progress is not None:
            if processes.number() == 3:
                _differ(folder, path)
            _study(folder, path, make_progress())
        then(folder, path, *arguments)

    main()


def _exchange(folder, path):
    index = int(os.environ["SLURM_PROCID"])
    assert processes.exchange({"index": index}) == [{"index": 0}, {"index": 1}]
    made = processes.from_first(lambda: index + 7)
    assert made == 7
    assert processes.is_first() == (index == 0)
    _see_differences(folder, index)
    # The first one's clock decides, whatever another one was asked for.
    sharding = devices.sharded(devices.make_mesh())
    shape, dtype, minutes = (2, 3, 4), np.dtype("float32"), (0, 10)[index]
    old = folder / f"copies{index}" / "hidden_007.bin"
    old.parent.mkdir()
    old.touch()
    with hidden.Checkpoint(old.parent, shape, dtype, sharding, minutes, 2) as copies:
        copies.begin(0)
    # It is in the way of the copy that follows.
    assert not old.exists()


def _see_differences(folder, index):
    """Text, a training run's text and a folder that are not the same in both processes."""
    model = models.open_model(cache=folder)
    with pytest.raises(errors.MismatchError, match="max_tokens is 100 in process 0"):
        texts.load_text(model, max_tokens=100 + index)
    own = folder / str(index)
    own.mkdir()
    said = r"text\.chain\.places is .*; tokenizer is "
    with pytest.raises(errors.MismatchError, match=said):
        train.train(training_runs.request(own, folder / "run"))
    assert not (folder / "run").exists()
    place = places.Place("s3://bucket/study")
    shared = mirror.local_folder(place, folder / "shared", is_shared=True)
    assert shared.parent == folder / "shared"
    with pytest.raises(errors.UsageError, match="process 1 does not see"):
        mirror.local_folder(place, own, is_shared=True)
    assert not any(shared.parent.iterdir())


def _fail_first(folder, path):
    def fail():
        raise errors.UsageError("only the first one knows")

    processes.from_first(fail)


def _study(folder, path, progress=None, **chosen):
    sources = [(name, folder / f"{name}.jsonl") for name in ("one", "two")]
    return studies.run_study(
        path,
        folder / "store",
        sources,
        window=16,
        windows_per_batch=2,
        resources=Resources(checkpoint_minutes=0),
        progress=progress or _quiet(),
        **chosen,
    )


def _quiet():
    return Progress(shown=False)


class _Signal(Progress):
    """Sends a signal to a process once a line is logged, and waits for what comes of it."""

    def __init__(self, path, process, number, line):
        super().__init__(shown=False)
        self._pid = path.parent / f"pid{process}"
        self._number, self._line = number, line

    def log_line(self, line):
        super().log_line(line)
        if line.startswith(self._line):
            os.kill(int(self._pid.read_text()), self._number)
            time.sleep(several.PATIENCE)


def _differ(folder, path):
    """Three processes that would make another study each."""
    dtype = ("float32", "bfloat16", "float16")[jax.process_index()]
    said = "settings.dtype is 'float32' in process 0 and 'bfloat16' in process 1"
    with pytest.raises(errors.MismatchError, match=said):
        _study(folder, path, dtype=dtype)


def _die(folder, path, victim):
    processes.exchange("all are here")
    if jax.process_index() == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.exchange("not all are here")


def _others(folder, path):
    """What else runs over text: a statistic of one's own, and an ablation."""
    study = opening.open_any(path)
    model = models.Model("model", reading.open_store(folder / "store"))
    text = texts.studied_text(study)
    largest = reductions.Reduction(
        init=lambda: jnp.zeros(model.config.ffn_dim),
        update=lambda state, activation, batch: jnp.maximum(
            state, jnp.where(batch.valid[..., None], activation, 0).max((0, 1))
        ),
        finalize=lambda state: {"largest": np.asarray(state)},
        merge=lambda states: states.max(axis=0),
    )
    counted = [
        (layer, found["largest"].tolist())
        for layer, found in jaxneurons.count(model, text, largest, windows_per_batch=2)
    ]
    ablated = jaxneurons.ablate(
        model, text, [(0, 1), (2, 3)], mode="mean", controls=1, windows_per_batch=2
    )
    return counted, ablated


def _keep_others(folder, path):
    (folder / "others").write_bytes(pickle.dumps(_others(folder, path)))


def _check_others(folder, path):
    expected = pickle.loads((folder / "others").read_bytes())
    assert _others(folder, path) == expected


def _train(folder, path, out):
    """Trains a model in two runs, of which the second continues the first."""
    train.train(_training(folder, out))
    if processes.is_first():
        training_runs.interrupted(out, path.parent / "again", 2)
    processes.exchange(None)
    train.train(_training(folder, path.parent / "again"))
    first, again = map(training_runs.outcome, (out, path.parent / "again"))
    assert first == again


def _training(folder, out):
    recipe = dataclasses.replace(
        training_runs.RECIPE, steps=4, warmup_steps=2, windows_per_step=4
    )
    cadence = Cadence(log_every=2, validate_every=4, checkpoint_every=2)
    return training_runs.request(folder, out, recipe=recipe, cadence=cadence)

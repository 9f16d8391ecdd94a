"""Several processes make one study together: the bits of one process, whichever end early and however many go on."""

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
from jaxneurons import errors
from jaxneurons.command import backend, distributed, script
from jaxneurons.command.progress import Progress
from jaxneurons.counting import reductions
from jaxneurons.run import models, texts
from jaxneurons.run.resources import Resources
from jaxneurons.store import reading
from jaxneurons.studies import opening
from tests.support import planted, planted_ngrams, several, studies

PHRASES = [(4,), (5, 6), (7, 8, 9), (9,), (8, 7), (10, 11, 12)]
INTERRUPTED = errors.InterruptedRunError.exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A planted model, a text of two domains, and a study of them that one process made."""
    folder = tmp_path_factory.mktemp("several")
    found = [planted_ngrams.ngram(*phrase) for phrase in PHRASES]
    layers = [found, found[::-1], [planted_ngrams.constant(True), *found]]
    planted_ngrams.write_store(folder / "store", layers)
    random = np.random.default_rng(0)
    for name, number in (("one", 60), ("two", 41)):
        phrases = [PHRASES[i] for i in random.integers(0, len(PHRASES), number)]
        documents = planted_ngrams.lay_out(phrases, filler=20)
        planted.write_documents(folder / f"{name}.jsonl", documents)
    _study(folder, folder / "whole")
    others = _others(folder, folder / "whole")
    (folder / "others").write_bytes(pickle.dumps(others))
    return folder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study"


def test_whichever_ends_the_others_end_and_any_number_goes_on(folder, path):
    """Two processes, of which one is interrupted; two, of which one is killed; three, which end well."""
    # The second one, when the first is done with layer 0.
    stop = functools.partial(_Signal, path, 1, signal.SIGTERM, "layer 0")
    assert _codes(2, _run, folder, path, stop) == [INTERRUPTED] * 2
    assert opening.open_any(path).done_layers == [0]
    # The first one, which the others report to, when it is done with layer 1.
    kill = functools.partial(_Signal, path, 0, signal.SIGKILL, "layer 1")
    first, second = _codes(2, _run, folder, path, kill)
    assert first == -signal.SIGKILL and second not in (0, None)
    assert _codes(3, _run, folder, path, _quiet, _check_the_rest) == [0] * 3
    studies.assert_same(path, folder / "whole")
    assert studies.logged_layers(path) == [0, 1, 2]
    # All of it shows something: the last batch is not full, and there are detectors of every kind, and examples.
    record = opening.open_any(path)
    assert len(record.read("tokens")) % 6
    assert (record.read("detector").max(axis=(1, 2)) > 0).all()
    assert (record.read("random_example_window") > 6).any()


def test_processes_that_would_do_different_things_are_told_what_differs(folder, path):
    assert _codes(2, _run, folder, path, _quiet, _differ) == [0, 0]
    assert not path.exists()


def test_without_anything_that_says_which_processes_there_are(monkeypatch):
    for name in [*distributed.VARIABLES, "SLURM_JOB_ID"]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(errors.UsageError, match="set JAX_COORDINATOR_ADDRESS, "):
        distributed.start("")


def _codes(number, target, *arguments):
    return several.codes(several.start(number, target, *arguments))


def _run(folder, path, make_progress, then=lambda *_: None):
    """One of several processes, as a command: it makes the study, or goes on with it."""
    index = os.environ["SLURM_PROCID"]
    (path.parent / f"pid{index}").write_text(str(os.getpid()))

    @script.command
    def main():
        backend.start(None, folder / "cache", several=True)
        if then is not _differ:
            _study(folder, path, make_progress())
        then(folder, path)

    main()


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
    dtype = ("float32", "bfloat16")[jax.process_index()]
    said = "settings.dtype is 'float32' in process 0 and 'bfloat16' in process 1"
    with pytest.raises(errors.MismatchError, match=said):
        _study(folder, path, dtype=dtype)


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


def _check_the_rest(folder, path):
    counted, ablated = _others(folder, path)
    expected = pickle.loads((folder / "others").read_bytes())
    assert counted == expected[0]
    assert ablated == expected[1]

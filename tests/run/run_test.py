"""A study from end to end: a planted model's findings, resuming, killing, refusing, compiling once."""

import hashlib
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.run import memory_plan, run, settings
from jaxneurons.run.resources import Resources
from jaxneurons.store import format, reading, writing
from jaxneurons.stream import step
from jaxneurons.studies import directory, opening
from tests.support import planted, studies

REPOSITORY = pathlib.Path(__file__).parents[2]
# Tokens 4 and 5 occur, 6 does not.
DOCUMENTS = {
    "first": [[4, 5, 7, 8], [4, 4, 9], [10] * 30],
    "second": [[11, 12, 4], [13] * 5],
}


@pytest.fixture(scope="module")
def planted_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "store"
    fires, constant = planted.fires_on, planted.constant
    weak = (np.full(planted.SIZE, 3.0), -1e-3)
    layers = [
        planted.layer(fires(4), fires(6), constant(-100.0), constant(0.5)),
        planted.layer(constant(0.0), fires(2), fires(5), weak),
        planted.layer(*[constant(1.0)] * 8),
    ]
    return reading.open_store(planted.write_store(path, layers))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in DOCUMENTS.items()
    ]


def run_planted(model, sources, path, resume=False, resources=None, **chosen):
    """The paper's figures are drawn, and compared, where the script runs."""
    defaults = {"window": 8, "windows_per_batch": 2}
    wanted = settings.resolve(model.config, **(defaults | chosen))
    with studies.undrawn():
        return run.run_study(
            model, "planted", sources, path, wanted, None, resume, resources
        )


def digests(path):
    """SHA-256 of every result of a study, by file name."""
    results = [*(path / "arrays").rglob("*"), *path.glob("*.jsonl")]
    results += [path / "summary.json", *(path / "figures").iterdir()]
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in results
        if file.is_file()
    }


@pytest.fixture(scope="module")
def finished(planted_store, sources, tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "study"
    run_planted(planted_store, sources, path)
    return path


def test_planted_neurons_are_found_as_planted(finished):
    layers = json.loads((finished / "summary.json").read_bytes())["activation"][
        "layers"
    ]
    facts = [
        (x["dead"], x["certified_dead"], x["certified_always_active"]) for x in layers
    ]
    # Layer 0: neuron 1 waits for a token that never comes; 2 and the four fillers cannot fire.
    # Layer 1: a pre-activation of 0 is no activation; 3 sees only the mean, which LayerNorm removed.
    assert facts == [(6, 5, 1), (6, 6, 0), (0, 0, 8)]


def test_counts_are_those_of_the_text(finished):
    record = opening.open_any(finished)
    count = record.read("activation_count")
    special = record.read("special_activation_count")
    tokens = record.read("tokens")
    lengths = record.read("window_length")
    domains = record.read("window_domain")
    valid = np.arange(8)[None, :] < lengths[:, None]
    for domain in (0, 1):
        mine = valid & (domains == domain)[:, None]
        assert count[domain, 0, 0] == np.sum(mine & (tokens == 4)) > 0
        assert count[domain, 1, 1] == np.sum(mine & (tokens == 2)) > 0
        assert count[domain, 1, 2] == np.sum(mine & (tokens == 5))
        assert count[domain, 2, 5] == np.sum(mine)
        assert special[domain, 2, 5] == np.sum(mine & (tokens == 2))
        assert special[domain, 0, 0] == 0


def test_study_says_what_it_is(finished):
    manifest = json.loads((finished / "study.json").read_bytes())
    assert manifest["status"] == "complete"
    assert manifest["special_tokens"] == [1, 2]
    assert manifest["settings"]["window"] == 8
    assert [entry["layer"] for entry in manifest["layers"]["done"]] == [0, 1, 2]
    assert not (finished / "partial").exists()
    assert logged_layers(finished) == [0, 1, 2]


def test_layers_stop_after_the_last_and_fill_the_others(
    planted_store, sources, tmp_path, finished
):
    run_planted(planted_store, sources, tmp_path / "study", layers=(1, 1))
    record = opening.open_any(tmp_path / "study")
    whole = opening.open_any(finished)
    count = record.read("activation_count")
    assert (count[:, [0, 2]] == -1).all()
    np.testing.assert_array_equal(count[:, 1], whole.read("activation_count")[:, 1])
    assert np.isnan(record.read("max_preactivation")[[0, 2]]).all()
    layers = json.loads((tmp_path / "study" / "study.json").read_bytes())["layers"]
    assert layers["asked"] == [1] and layers["not_asked"] == [0, 2]
    assert record.done_layers == [0, 1]


@pytest.mark.fault(case=29)
def test_batch_size_changes_no_bit(planted_store, sources, tmp_path, finished):
    run_planted(planted_store, sources, tmp_path / "study", windows_per_batch=3)
    assert digests(tmp_path / "study") == digests(finished)


def logged_layers(path):
    """Layers in the order in which the log says that they ended."""
    lines = (path / "study.log").read_text().splitlines()
    return [int(line.split()[2]) for line in lines]


def keep_hidden_states(monkeypatch, place):
    """Whatever memory there is."""
    make_plan = memory_plan.make_plan

    def planned(*arguments):
        return make_plan(*arguments)._replace(hidden_states=place)

    monkeypatch.setattr(memory_plan, "make_plan", planned)


@pytest.mark.parametrize("place", ["disk", "host"])
def test_hidden_states_elsewhere_give_the_same_bits(
    planted_store, sources, tmp_path, finished, monkeypatch, place
):
    keep_hidden_states(monkeypatch, place)
    resources = Resources(checkpoint_every=0)
    run_planted(planted_store, sources, tmp_path / "study", resources=resources)
    assert digests(tmp_path / "study") == digests(finished)
    done = opening.open_any(tmp_path / "study").facts.done
    assert {entry.hidden_states for entry in done} == {place}


class Stop(Exception):
    """Stands for whatever ends a run."""


@pytest.mark.fault(case=24)
@pytest.mark.fault(case=29)
@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_resumed_study_has_the_same_bits(
    planted_store, sources, tmp_path, finished, monkeypatch, stop_after, place
):
    keep_hidden_states(monkeypatch, place)
    path = tmp_path / "study"
    finish_layer = directory.Study.finish_layer

    def finish_and_stop(self, entry, checksums):
        finish_layer(self, entry, checksums)
        if entry.layer == stop_after:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(directory.Study, "finish_layer", finish_and_stop)
        run_planted(planted_store, sources, path)
    with pytest.raises(errors.OutputExistsError, match="Resume it"):
        run_planted(planted_store, sources, path)
    run_planted(planted_store, sources, path, resume=True)
    assert digests(path) == digests(finished)
    # Stopped before its line was logged, a finished layer did not run again.
    assert logged_layers(path) == [layer for layer in (0, 1, 2) if layer != stop_after]


@pytest.mark.fault(case=24)
def test_resume_without_its_copy_recomputes_it(
    planted_store, sources, tmp_path, finished, monkeypatch
):
    path = tmp_path / "study"
    finish_layer = directory.Study.finish_layer

    def finish_and_stop(self, entry, checksums):
        finish_layer(self, entry, checksums)
        raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(directory.Study, "finish_layer", finish_and_stop)
        run_planted(planted_store, sources, path)
    for copy in (path / "partial").glob("hidden*"):
        copy.write_bytes(bytes(len(copy.read_bytes())))
    run_planted(planted_store, sources, path, resume=True)
    assert digests(path) == digests(finished)


@pytest.mark.fault(case=24)
def test_damaged_candidates_cost_their_layer_only(
    planted_store, sources, tmp_path, finished, monkeypatch
):
    path = tmp_path / "study"
    finish_layer = directory.Study.finish_layer

    def finish_and_stop(self, entry, checksums):
        finish_layer(self, entry, checksums)
        if entry.layer == 1:
            raise Stop

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(directory.Study, "finish_layer", finish_and_stop)
        run_planted(planted_store, sources, path)
    candidates = path / "partial" / "candidates_000.npz"
    candidates.write_bytes(candidates.read_bytes()[:200])
    run_planted(planted_store, sources, path, resume=True)
    assert digests(path) == digests(finished)
    assert logged_layers(path) == [0, 0, 2]


def test_resume_begins_where_there_is_nothing(
    planted_store, sources, tmp_path, finished
):
    run_planted(planted_store, sources, tmp_path / "study", resume=True)
    assert digests(tmp_path / "study") == digests(finished)


@pytest.mark.fault(case=25)
def test_resume_with_something_else_is_refused(
    planted_store, sources, tmp_path, monkeypatch
):
    path = tmp_path / "study"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(
            directory.Study, "write_layer", lambda *_: (_ for _ in ()).throw(Stop)
        )
        run_planted(planted_store, sources, path)
    with pytest.raises(errors.MismatchError) as caught:
        run_planted(
            planted_store, sources[:1], path, resume=True, window=4, max_tokens=30
        )
    for name in ("settings.window was 8 and is now 4", "max_tokens", "corpus.second"):
        assert name in str(caught.value)


@pytest.mark.fault(case=26)
def test_finished_study_is_left_alone(planted_store, sources, finished):
    before = digests(finished)
    for resume in (False, True):
        with pytest.raises(errors.OutputExistsError):
            run_planted(planted_store, sources, finished, resume=resume)
    assert digests(finished) == before


@pytest.mark.fault(case=27)
def test_interruption_is_resumable(planted_store, sources, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(directory.Study, "write_layer", interrupted)
        with pytest.raises(errors.InterruptedRunError, match="layers done"):
            run_planted(planted_store, sources, tmp_path / "study")
    run_planted(planted_store, sources, tmp_path / "study", resume=True)


@pytest.mark.parametrize(("scale", "dtype"), [(1e5, "float16"), (np.nan, "float32")])
def test_overflow_and_nan_are_no_dead_neurons(sources, tmp_path, scale, dtype):
    path = tmp_path / "store"
    with writing.Writer(path, planted.MODEL) as writer:
        rng = np.random.default_rng(0)
        for name, shape in format.array_shapes(planted.MODEL).items():
            array = rng.standard_normal(shape).astype(np.float32)
            if name == "layers/001/feed_forward/fc2/kernel":
                array *= scale
            writer.write(name, array)
        writer.publish({})
    model = reading.open_store(path)
    with pytest.raises(errors.NotFiniteError, match=f"layer 1: NaN .* {dtype}"):
        run_planted(model, sources, tmp_path / "study", dtype=dtype)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"layers": (0, 3)}, "layers 0:3"),
        ({"layers": (2, 1)}, "layers 2:1"),
        ({"window": 17}, "17"),
        ({"dtype": "float64"}, "float64"),
        ({"windows_per_batch": -1}, "windows_per_batch -1"),
        ({"window": 1}, "window"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_settings_without_meaning(planted_store, sources, tmp_path, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        run_planted(planted_store, sources, tmp_path / "study", **chosen)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("chosen", "kind", "message"),
    [
        ({"host_memory_bytes": 1}, errors.UsageError, "memory: 0.000 GiB may be used"),
        (
            {"spill_directory": pathlib.Path(__file__)},
            errors.InputOutputError,
            "cannot write .*run_test.py: File exists",
        ),
    ],
)
def test_a_study_without_the_means_is_not_begun(
    planted_store, sources, tmp_path, chosen, kind, message
):
    few = Resources(**chosen)
    with pytest.raises(kind, match=message):
        run_planted(planted_store, sources, tmp_path / "study", resources=few)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["1", "a:b", "1:", "-1:2", "0:1:2", "", "0:" + "9" * 5000]
)
def test_layers_that_are_no_range(text):
    with pytest.raises(errors.UsageError, match="FIRST:LAST"):
        settings.parse_layers(text)


@pytest.mark.parametrize(("least_saved", "number"), [(1e20, 1), (0, 2)])
def test_one_executable_serves_all_layers_and_at_most_one_more_the_last(
    planted_store, sources, tmp_path, caplog, monkeypatch, least_saved, number
):
    monkeypatch.setattr(step, "LEAST_SAVED", least_saved)
    with jax.log_compiles(), caplog.at_level(logging.WARNING, "jax"):
        run_planted(planted_store, sources, tmp_path / "study")
    compiled = [
        r.getMessage() for r in caplog.records if "XLA compil" in r.getMessage()
    ]
    assert sum("jit(step)" in message for message in compiled) == number


def start_study(store_path, sources, path, *flags, before=(), **environment):
    """The script in a process of its own; what it prints goes to output.txt beside the study."""
    command = [sys.executable, "scripts/study.py", f"--model={store_path}"]
    command += [f"--corpus={name}={source}" for name, source in sources]
    command += [f"--study={path}", "--window=16", "--windows_per_batch=1", *flags]
    defaults = {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAXNEURONS_CACHE": str(path.parent / "cache"),
    }
    with open(path.parent / "output.txt", "a") as output:
        return subprocess.Popen(
            [*before, *command],
            cwd=REPOSITORY,
            stdout=output,
            stderr=output,
            env=os.environ | defaults | environment,
        )


# No UTF-8 by default, another order of sets, another time.
ELSEWHERE = {
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
    "PYTHONHASHSEED": "7",
    "TZ": "Asia/Tokyo",
}


@pytest.mark.fault(case=24)
@pytest.mark.fault(case=27)
@pytest.mark.fault(case=29)
@pytest.mark.slow
def test_stopped_study_resumes_to_the_same_bits(tmp_path):
    model = planted.MODEL.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 12})
    layers = [planted.layer(planted.fires_on(4 + i % 9)) for i in range(12)]
    planted.write_store(tmp_path / "store", layers, model)
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 20, 40).tolist() for _ in range(200)]
    source = planted.write_documents(tmp_path / "text.jsonl", documents)
    corpus = [("text", source)]
    whole = start_study(tmp_path / "store", corpus, tmp_path / "whole")
    assert whole.wait() == 0, (tmp_path / "output.txt").read_text()

    path = tmp_path / "stopped"
    process = start_study(tmp_path / "store", corpus, path)
    for kill_after, number in ((2, signal.SIGKILL), (5, signal.SIGTERM)):
        while not _layers_done(path) > kill_after:
            assert process.poll() is None, (tmp_path / "output.txt").read_text()
            time.sleep(0.002)
        process.send_signal(number)
        code = process.wait(timeout=30)
        assert code == (-number if number == signal.SIGKILL else 75)
        process = start_study(tmp_path / "store", corpus, path, "--resume", **ELSEWHERE)
    command = " ".join(process.args[1:])
    said = (tmp_path / "output.txt").read_text()
    assert f"go on by --resume: python {command}\n" in said
    assert process.wait() == 0, (tmp_path / "output.txt").read_text()
    assert digests(path) == digests(tmp_path / "whole")
    # No layer that was finished ran again.
    assert len(logged_layers(path)) == len(set(logged_layers(path)))


@pytest.mark.fault(case=13)
@pytest.mark.slow
def test_study_without_room_stops_in_one_line_and_resumes(planted_store, tmp_path):
    # The copy of the residual stream, 1.1 MB, is the first file to grow beyond that.
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 20, 40).tolist() for _ in range(200)]
    corpus = [("text", planted.write_documents(tmp_path / "text.jsonl", documents))]
    whole = start_study(planted_store.location, corpus, tmp_path / "whole")
    assert whole.wait() == 0, (tmp_path / "output.txt").read_text()
    path = tmp_path / "study"
    small_files = ("bash", "-c", 'ulimit -f 200; exec "$@"', "bash")
    stopped = start_study(planted_store.location, corpus, path, before=small_files)
    assert stopped.wait() == errors.InputOutputError.exit_code
    said = (tmp_path / "output.txt").read_text()
    assert f"cannot write {path}/partial/hidden_1.bin" in said.splitlines()[-1]
    assert "Traceback" not in said
    resumed = start_study(planted_store.location, corpus, path, "--resume")
    assert resumed.wait() == 0, (tmp_path / "output.txt").read_text()
    assert digests(path) == digests(tmp_path / "whole")


def _layers_done(path):
    try:
        return len(opening.open_any(path).done_layers)
    except errors.StudyError:
        return 0

"""A study from end to end: a planted model's findings, resuming, killing, refusing."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.run.resources import Resources
from jaxneurons.store import format, writing
from jaxneurons.studies import opening
from tests.support import cases, planted, studies
from tests.support.studies import digests, logged_layers

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
    return planted.write_store(path, layers)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in DOCUMENTS.items()
    ]


def run_planted(stored, sources, path, **chosen):
    """The paper's figures are drawn, and compared, where the script runs."""
    defaults = {"window": 8, "windows_per_batch": 2, "resume": False}
    return studies.run_study(path, stored, sources, **(defaults | chosen))


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


@pytest.mark.campaign
@pytest.mark.fault(case=29)
def test_batch_size_changes_no_bit(planted_store, sources, tmp_path, finished):
    run_planted(planted_store, sources, tmp_path / "study", windows_per_batch=3)
    assert digests(tmp_path / "study") == digests(finished)


@pytest.mark.fault(case=29)
def test_hidden_states_on_disk_give_the_same_bits(planted_store, tmp_path):
    """Where the memory allowed holds the work but not the hidden states."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 20, 400).tolist() for _ in range(40)]
    text = [("text", planted.write_documents(tmp_path / "text.jsonl", documents))]
    chosen = {"window": 16, "windows_per_batch": 2, "ngrams": False}
    places = {}
    for name, memory in (("roomy", 2**30), ("tight", 1_700_000)):
        study = studies.run_study(
            tmp_path / name,
            planted_store,
            text,
            resources=Resources(host_memory_bytes=memory),
            **chosen,
        )
        places[name] = {layer.hidden_states for layer in study.facts.done}
    assert places == {"roomy": {"memory"}, "tight": {"disk"}}
    assert digests(tmp_path / "roomy") == digests(tmp_path / "tight")


EVERY_LAYER = Resources(checkpoint_minutes=0)


@pytest.mark.fault(case=24)
@pytest.mark.fault(case=29)
def test_resumed_study_has_the_same_bits(planted_store, sources, tmp_path, finished):
    path = tmp_path / "study"
    with pytest.raises(studies.Stop):
        run_planted(
            planted_store,
            sources,
            path,
            resources=EVERY_LAYER,
            progress=studies.StopAfter(2),
        )
    done = opening.open_any(path).done_layers
    assert done == [0, 1]
    with pytest.raises(errors.OutputExistsError, match="Resume it"):
        run_planted(planted_store, sources, path)
    run_planted(planted_store, sources, path, resume=True)
    assert digests(path) == digests(finished)
    # No layer that was finished ran again.
    assert logged_layers(path) == [0, 1, 2]


@pytest.mark.fault(case=24)
@cases.each("damage", ["copy", "candidates"])
def test_what_a_resumed_run_finds_damaged_is_computed_again(
    planted_store, sources, tmp_path, finished, damage
):
    path = tmp_path / "study"
    stop = studies.StopAfter(2)
    with pytest.raises(studies.Stop):
        run_planted(planted_store, sources, path, resources=EVERY_LAYER, progress=stop)
    if damage == "copy":
        for copy in (path / "partial").glob("hidden*"):
            copy.write_bytes(bytes(len(copy.read_bytes())))
    else:
        file = path / "partial" / "candidates_000.npz"
        file.write_bytes(file.read_bytes()[:200])
    run_planted(planted_store, sources, path, resume=True)
    assert digests(path) == digests(finished)
    again = [] if damage == "copy" else [0]
    assert logged_layers(path) == [0, 1, *again, 2]


@pytest.mark.campaign
def test_resume_begins_where_there_is_nothing(
    planted_store, sources, tmp_path, finished
):
    run_planted(planted_store, sources, tmp_path / "study", resume=True)
    assert digests(tmp_path / "study") == digests(finished)


@pytest.mark.fault(case=25)
def test_resume_with_something_else_is_refused(planted_store, sources, tmp_path):
    path = tmp_path / "study"
    with pytest.raises(studies.Stop):
        run_planted(planted_store, sources, path, progress=studies.StopAfter(1))
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
def test_interruption_is_resumable(planted_store, sources, tmp_path):
    stop = studies.StopAfter(2, KeyboardInterrupt)
    with pytest.raises(errors.InterruptedRunError, match="interrupted with 2 layers"):
        run_planted(planted_store, sources, tmp_path / "study", progress=stop)
    run_planted(planted_store, sources, tmp_path / "study", resume=True)


@cases.each("scale, dtype", [(1e5, "float16"), (np.nan, "float32")])
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
    with pytest.raises(errors.NotFiniteError, match=f"layer 1 has NaN .* {dtype}"):
        run_planted(path, sources, tmp_path / "study", dtype=dtype)


@cases.each(
    "chosen, message",
    [
        ({"layers": (0, 3)}, "layers 0:3"),
        ({"layers": (2, 1)}, "layers 2:1"),
        ({"window": 17}, "17"),
        ({"dtype": "float64"}, "float64"),
        ({"windows_per_batch": -1}, "windows_per_batch is -1"),
        ({"window": 1}, "window"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_settings_without_meaning(planted_store, sources, tmp_path, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        run_planted(planted_store, sources, tmp_path / "study", **chosen)
    assert not any(tmp_path.iterdir())


@cases.each(
    "chosen, kind, message",
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


def start_study(store_path, sources, path, *flags, before=(), **environment):
    """The script in a process of its own; what it prints goes to output.txt beside the study."""
    command = [sys.executable, "scripts/study.py", f"--model={store_path}"]
    command += [f"--corpus={name}={source}" for name, source in sources]
    command += [f"--study={path}", "--window=16", "--windows_per_batch=1"]
    command += ["--checkpoint_minutes=0", *flags]
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
@pytest.mark.campaign
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
    assert f"python {command}\n" in said
    assert process.wait() == 0, (tmp_path / "output.txt").read_text()
    assert digests(path) == digests(tmp_path / "whole")
    # No layer that was finished ran again.
    assert len(logged_layers(path)) == len(set(logged_layers(path)))


@pytest.mark.fault(case=13)
@pytest.mark.campaign
def test_study_without_room_stops_in_one_line_and_resumes(planted_store, tmp_path):
    # The copy of the residual stream, 1.1 MB, is the first file to grow beyond that.
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 20, 40).tolist() for _ in range(200)]
    corpus = [("text", planted.write_documents(tmp_path / "text.jsonl", documents))]
    whole = start_study(planted_store, corpus, tmp_path / "whole")
    assert whole.wait() == 0, (tmp_path / "output.txt").read_text()
    path = tmp_path / "study"
    small_files = ("bash", "-c", 'ulimit -f 200; exec "$@"', "bash")
    stopped = start_study(planted_store, corpus, path, before=small_files)
    assert stopped.wait() == errors.InputOutputError.exit_code
    said = (tmp_path / "output.txt").read_text()
    assert f"cannot write {path}/partial/hidden_000.bin" in said.splitlines()[-1]
    assert "Traceback" not in said
    resumed = start_study(planted_store, corpus, path, "--resume")
    assert resumed.wait() == 0, (tmp_path / "output.txt").read_text()
    assert digests(path) == digests(tmp_path / "whole")


def _layers_done(path):
    try:
        return len(opening.open_any(path).done_layers)
    except errors.StudyError:
        return 0

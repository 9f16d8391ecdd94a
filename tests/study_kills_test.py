"""A study that is killed at any instant, or at any rename or sync, resumes to the bits of an undisturbed one."""

import hashlib
import multiprocessing
import pathlib
import signal
import time

import dying
import jax
import numpy as np
import planted
import pytest
from matplotlib import figure

from jaxneurons import errors, run, settings, store
from jaxneurons.figures import paper

# Imports once, and forks a child for each try.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["study_kills_test"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a text, and a study of them that nothing disturbed."""
    folder = tmp_path_factory.mktemp("kills")
    layers = [planted.layer(*map(planted.fires_on, (4, 9, 5 + i))) for i in range(3)]
    planted.write_store(folder / "store", layers)
    documents = np.random.default_rng(0).integers(4, 20, (30, 20)).tolist()
    planted.write_documents(folder / "text.jsonl", documents)
    assert _run(folder, folder / "whole").exitcode == 0
    return folder


@pytest.mark.slow
@pytest.mark.fault(case=24)
@pytest.mark.fault(case=23)
def test_killed_at_random_instants(folder, tmp_path, campaign):
    random = np.random.default_rng(0)
    began = time.monotonic()
    _run(folder, tmp_path / "timed")
    longest = time.monotonic() - began
    kills = finished = 0
    while kills < (50 if campaign else 3):
        path = tmp_path / f"study{finished}"
        if _run(folder, path, seconds=random.uniform(0, longest)).exitcode == 0:
            _check(folder, path)
            finished += 1
        else:
            kills += 1
    _go_on(folder, path)
    print(f"case 24: {kills} kills, {finished + 1} studies, none lost")


@pytest.mark.slow
@pytest.mark.fault(case=24)
@pytest.mark.fault(case=23)
def test_killed_at_every_rename_and_sync(folder, tmp_path, campaign):
    calls = tries = 0
    while True:
        path = tmp_path / f"k{calls}"
        if _run(folder, path, calls=calls).exitcode == 0:
            break
        # Killed once more on its way.
        _run(folder, path, calls=calls // 2)
        _go_on(folder, path)
        tries += 1
        calls += 1 if campaign else 80
    assert calls > 60
    print(f"case 24: {tries} of {calls} renames and syncs, killed again, none lost")


def _run(
    folder: pathlib.Path,
    path: pathlib.Path,
    seconds: float | None = None,
    calls: int | None = None,
) -> multiprocessing.Process:
    """A process that begins or resumes a study; killed after so many seconds or calls, if any."""
    process = CONTEXT.Process(target=_study, args=(folder, path, calls))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process


def _study(folder: pathlib.Path, path: pathlib.Path, calls: int | None) -> None:
    model = store.open_store(folder / "store")
    wanted = settings.resolve(model.config, window=8, windows_per_batch=8)
    sources = [("text", folder / "text.jsonl")]
    cache = path.with_name(f"{path.name}-cache")
    # What takes most of the time here is not what is tested.
    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    paper.draw = lambda *arguments: {"figure": figure.Figure((1, 1))}
    if calls is not None:
        dying.die_at_call(calls)
    try:
        run.run_study(model, "planted", sources, path, wanted, cache, resume=True)
    except errors.OutputExistsError as error:
        # Killed in its last moment, it was finished.
        assert "nothing to resume" in str(error)


def _go_on(folder: pathlib.Path, path: pathlib.Path) -> None:
    assert _run(folder, path).exitcode == 0
    _check(folder, path)


def _check(folder: pathlib.Path, path: pathlib.Path) -> None:
    """A finished study has the bits of the undisturbed one, and no finished layer ran twice."""
    assert _digests(path) == _digests(folder / "whole")
    layers = [line.split()[2] for line in (path / "study.log").read_text().splitlines()]
    assert len(layers) == len(set(layers))
    left = {file.name for file in path.rglob("*")} - {"study.log"}
    assert left == {f.name for f in (folder / "whole").rglob("*")} - {"study.log"}


def _digests(path: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every file of a study but the two that hold times."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file() and file.name not in ("study.json", "study.log")
    }

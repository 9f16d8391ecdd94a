"""A study that is killed at any instant, or at any rename or sync, resumes to the bits of an undisturbed one."""

import pathlib
import time

import numpy as np
import pytest
from matplotlib import figure

from jaxneurons import errors
from jaxneurons.figures import paper
from jaxneurons.run.resources import Resources
from tests.support import dying, planted, studies


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a text, and a study of them that nothing disturbed."""
    folder = tmp_path_factory.mktemp("kills")
    layers = [planted.layer(*map(planted.fires_on, (4, 9, 5 + i))) for i in range(3)]
    planted.write_store(folder / "store", layers)
    documents = np.random.default_rng(0).integers(4, 20, (30, 20)).tolist()
    planted.write_documents(folder / "text.jsonl", documents)
    began = time.monotonic()
    assert dying.run(_study, folder, folder / "whole")
    (folder / "seconds").write_text(str(time.monotonic() - began))
    return folder


@pytest.mark.fault(case=24)
@pytest.mark.fault(case=23)
def test_killed_at_random_instants(folder, tmp_path, campaign):
    random = np.random.default_rng(0)
    longest = float((folder / "seconds").read_text())
    kills = studies = 0
    while kills < (50 if campaign else 1):
        path = tmp_path / f"study{studies}"
        for _ in range(5 if campaign else 1):
            if dying.run(_study, folder, path, seconds=random.uniform(0, longest)):
                break
            kills += 1
        _go_on(folder, path)
        studies += 1
    print(f"case 24: {kills} kills of {studies} studies, none lost")


@pytest.mark.fault(case=24)
@pytest.mark.fault(case=23)
@pytest.mark.campaign
def test_killed_at_every_rename_and_sync(folder, tmp_path):
    calls = tries = 0
    while True:
        path = tmp_path / f"k{calls}"
        if dying.run(_study, folder, path, calls=calls):
            break
        # Killed once more on its way.
        dying.run(_study, folder, path, calls=calls // 2)
        _go_on(folder, path)
        tries += 1
        calls += 1
    assert calls > 60
    print(f"case 24: killed at {tries} renames and syncs and once more, none lost")


def _study(folder: pathlib.Path, path: pathlib.Path) -> None:
    sources = [("text", folder / "text.jsonl")]
    cache = path.with_name(f"{path.name}-cache")
    chosen = {"cache": cache, "window": 8, "windows_per_batch": 8, "figures": True}
    chosen["resources"] = Resources(checkpoint_minutes=0)
    # What takes most of the time here is not what is tested.
    paper.draw = lambda *arguments: {"figure": figure.Figure((1, 1))}
    try:
        studies.run_study(path, folder / "store", sources, **chosen)
    except errors.OutputExistsError as error:
        # Killed in its last moment, it was finished.
        assert "nothing to resume" in str(error)


def _go_on(folder: pathlib.Path, path: pathlib.Path) -> None:
    assert dying.run(_study, folder, path)
    studies.assert_same(path, folder / "whole")

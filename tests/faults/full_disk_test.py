"""A disk that is full at any stage of a study: one line, and with more room it goes on to the same bits."""

import itertools
import os
import pathlib
import subprocess

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.run.resources import Resources
from tests.support import planted, studies


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a text of which hidden states take 75 KiB a layer, and a study that nothing disturbed."""
    folder = tmp_path_factory.mktemp("full")
    layers = [planted.layer(*map(planted.fires_on, (4, 9, 5 + i))) for i in range(3)]
    planted.write_store(folder / "store", layers)
    documents = np.random.default_rng(0).integers(4, 20, (1, 520)).tolist()
    planted.write_documents(folder / "text.jsonl", documents)
    run(folder, folder / "whole")
    return folder


@pytest.fixture
def disk(tmp_path):
    """A file system of 40 KiB; mounts it, and skips the test where that is not allowed."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", path]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield path
    subprocess.run(["umount", path], check=True)


def enlarge(disk: pathlib.Path, kibibytes: int) -> None:
    options = f"remount,size={kibibytes}k"
    subprocess.run(["mount", "-o", options, disk], check=True)


def run(folder, path, resources=None):
    sources = [("text", folder / "text.jsonl")]
    chosen = {"window": 8, "windows_per_batch": 2, "resources": resources}
    studies.run_study(path, folder / "store", sources, **chosen)
    return studies.digests(path)


@pytest.mark.campaign
@pytest.mark.fault(case=13)
def test_copies_that_fill_their_disk(folder, disk, tmp_path):
    resources = Resources(spill_directory=disk, checkpoint_minutes=0)
    # No copy fits, then one, then two.
    for size in (100, 200):
        with pytest.raises(errors.InputOutputError) as stop:
            run(folder, tmp_path / "study", resources)
        message = str(stop.value)
        assert "No space left on device (" in message and "\n" not in message
        assert f"cannot write {disk}" in message
        enlarge(disk, size)
    found = run(folder, tmp_path / "study", resources)
    assert found == studies.digests(folder / "whole")
    assert not any(disk.iterdir())


@pytest.mark.campaign
@pytest.mark.fault(case=13)
def test_a_study_that_fills_its_disk(folder, disk, campaign):
    stops = []
    for size in itertools.count(150, 110 if campaign else 330):
        try:
            found = run(folder, disk / "study")
            break
        except errors.InputOutputError as stop:
            stops.append(str(stop))
        enlarge(disk, size)
    assert found == studies.digests(folder / "whole")
    assert len(stops) > 2
    assert all("No space left on device (" in stop for stop in stops)
    assert not any("\n" in stop for stop in stops)

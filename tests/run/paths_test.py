"""Whole studies under paths that are not easy, and where nothing can be written."""

import os
import subprocess

import pytest

from jaxneurons import errors
from jaxneurons.disk import files
from tests.support import planted, studies

# All that a shell, a URL, a format string or a terminal could stumble over, and long.
NAME = "-a b ünï中 50%20#?&'\"$(x)\n" + "x" * 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths")
    planted.write_store(folder / "store", [planted.layer(planted.fires_on(4))] * 3)
    planted.write_documents(folder / "text.jsonl", [[4, 5, 7, 8], [9] * 30])
    return folder


def _study(folder, path):
    sources = [("text", folder / "text.jsonl")]
    return studies.run_study(path, folder / "store", sources, window=8, layers=(0, 0))


@pytest.mark.campaign
@pytest.mark.fault(case=26)
def test_any_name_will_do_and_a_link_to_an_empty_folder(folder, tmp_path):
    (tmp_path / "link").symlink_to(NAME)
    assert files.is_free(tmp_path / "link")
    (tmp_path / NAME).mkdir()
    record = _study(folder, tmp_path / "link")
    assert record.facts.complete and record.read("activation_count").shape == (1, 3, 8)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / NAME / "summary.json").is_file()
    assert sorted(os.listdir(tmp_path)) == sorted([NAME, "link"])


@pytest.mark.fault(case=26)
def test_a_name_too_long_is_one_line(folder, tmp_path):
    with pytest.raises(
        errors.InputOutputError, match="^[^\n]*File name too long[^\n]*$"
    ):
        _study(folder, tmp_path / ("x" * 255))
    assert os.listdir(tmp_path) == []


@pytest.mark.fault(case=26)
def test_a_read_only_file_system_is_one_line(folder, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path]
    if (
        os.geteuid()
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("mounting a file system needs root")
    try:
        with pytest.raises(errors.InputOutputError, match="Read-only file system$"):
            _study(folder, tmp_path / "study")
    finally:
        subprocess.run(["umount", tmp_path], check=True)

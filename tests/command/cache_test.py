"""Where the cache is, and what is said where it cannot be written."""

import os
import pathlib
import subprocess
import sys

import pytest

from jaxneurons import errors
from jaxneurons.command import cache
from tests.support import cases
from tests.support.helpers import REPOSITORY


@cases.each(
    "given, own, shared, expected",
    [
        ("/given", "/own", "/shared", "/given"),
        (None, "/own", "/shared", "/own"),
        ("", "", "/shared", "/shared/jaxneurons"),
        (None, "", "", "/home/me/.cache/jaxneurons"),
    ],
)
def test_flag_then_environment_decide(monkeypatch, given, own, shared, expected):
    monkeypatch.setenv("JAXNEURONS_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", shared)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.directory(given) == pathlib.Path(expected)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody unknown")
def test_nobody_without_a_home_is_told_what_to_set():
    program = (
        "import os\nfrom jaxneurons import errors\nfrom jaxneurons.command import cache\n"
        "os.environ.clear()\nos.setuid(54321)\n"
        "try: cache.directory()\nexcept errors.UsageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no home directory" in done.stdout and "JAXNEURONS_CACHE" in done.stdout


def test_only_an_error_about_the_cache_says_how_to_use_another(tmp_path):
    for where, advised in ((tmp_path / "stores", True), ("/elsewhere", False)):
        with pytest.raises(errors.InputOutputError) as caught, cache.needed(tmp_path):
            raise errors.InputOutputError(f"cannot write {where}: no space")
        assert ("JAXNEURONS_CACHE" in str(caught.value)) == advised

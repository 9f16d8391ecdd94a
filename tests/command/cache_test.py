"""Where the cache is."""

import pathlib

import pytest

from jaxneurons.command import cache


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("/own", "/shared", "/own"),
        ("", "/shared", "/shared/jaxneurons"),
        ("", "", "/home/me/.cache/jaxneurons"),
    ],
)
def test_environment_decides(monkeypatch, own, shared, expected):
    monkeypatch.setenv("JAXNEURONS_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", shared)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.default_cache_directory() == pathlib.Path(expected)

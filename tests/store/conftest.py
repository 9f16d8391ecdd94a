"""A small store to read, and to harm."""

import shutil

import pytest

from tests.support import stores


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A small store, written once: syncing takes most of the time."""
    path = tmp_path_factory.mktemp("template") / "store"
    stores.write(path)
    return path


@pytest.fixture
def path(template, tmp_path):
    """A small store to change, under a name that is not easy on URLs and formats."""
    return shutil.copytree(template, tmp_path / "my store %20#é?")

"""The notebook runs as a reader runs it, and its outputs are those of its cells."""

import re

import nbformat
import pytest
from nbclient import exceptions

from tests.support import helpers, notebook


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to run in, where there is no home and no network."""
    monkeypatch.delenv("HOME", raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("JUPYTER_RUNTIME_DIR", "JAXNEURONS_CACHE", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", str(helpers.REPOSITORY))
    return tmp_path


def kinds(cell):
    """Of each output of a cell, what it can be shown as."""
    return [(out.output_type, sorted(out.get("data", ()))) for out in cell.outputs]


@pytest.mark.campaign
def test_every_cell_runs_and_gives_what_is_committed(elsewhere):
    committed = nbformat.read(notebook.TOUR, as_version=4)
    ran = notebook.run(notebook.TOUR, elsewhere)
    assert "4 of 4 layers" in notebook.take_stderr(ran)
    pairs = zip(notebook.code_cells(committed), notebook.code_cells(ran), strict=True)
    for before, after in pairs:
        assert kinds(before) == kinds(after), after.source
    shown = [kind for cell in notebook.code_cells(ran) for kind in kinds(cell)]
    pictures = [kind for _, kind in shown if "image/png" in kind]
    assert len(pictures) == 2 and len(shown) == 7


def test_a_cell_that_fails_fails_the_run(elsewhere):
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(broken, elsewhere / "broken.ipynb")
    with pytest.raises(exceptions.CellExecutionError, match="ZeroDivisionError"):
        notebook.run(elsewhere / "broken.ipynb", elsewhere)


def test_the_notebook_names_no_place_of_a_machine():
    text = notebook.TOUR.read_text("utf-8")
    pictures = r'"image/png": "[^"]*"'
    assert not re.search(
        r"/(root|home|tmp|Users|usr|var)\b", re.sub(pictures, "", text)
    )

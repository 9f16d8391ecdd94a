"""A notebook, run from its first cell to its last; as a program, it writes the outputs of the tour anew."""

import pathlib
import tempfile

import nbclient
import nbformat

from tests.support import helpers

TOUR = helpers.REPOSITORY / "scripts" / "tour.ipynb"


def run(path: pathlib.Path, folder: pathlib.Path | str) -> nbformat.NotebookNode:
    """The notebook with its outputs; it runs in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    # Which Python it was is of no interest.
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that have outputs."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def take_stderr(notebook: nbformat.NotebookNode) -> str:
    """Removes from the outputs, and returns, what is said while a cell runs: bars, warnings."""
    said = []
    for cell in code_cells(notebook):
        said += [out.text for out in cell.outputs if out.get("name") == "stderr"]
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return "".join(said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        tour = run(TOUR, temporary)
    take_stderr(tour)
    nbformat.write(tour, TOUR)

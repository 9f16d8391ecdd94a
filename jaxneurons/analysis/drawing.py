"""Summaries of studies in, the paper's figures as files out."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.figures import paper, style
from jaxneurons.studies import summary


def read_summaries(
    studies: Sequence[tuple[str, pathlib.Path]],
) -> dict[str, dict[str, Any]]:
    """Summaries by name from name and directory each; without a name, the model's.

    Raises:
        StudyError: a directory holds no finished study.
        UsageError: two studies have the same name.
    """
    summaries: dict[str, dict[str, Any]] = {}
    for name, path in studies:
        found = summary.read(path)
        name = name or found["model"]["name"]
        if name in summaries:
            raise errors.UsageError(
                f"two studies have the name {name!r}. Give {path} another one, as NAME={path}."
            )
        summaries[name] = found
    return summaries


def draw_studies(
    summaries: Mapping[str, Mapping[str, Any]], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes every figure of the paper for several studies into a new directory; gives the paths.

    Raises:
        OutputExistsError: the directory is not empty.
    """
    with files.partial_directory(folder, "a folder of figures") as partial:
        paths = save(summaries, partial)
    return [folder / path.name for path in paths]


def save(
    summaries: Mapping[str, Mapping[str, Any]], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes each figure as PNG and SVG, and tables as Markdown; gives the paths."""
    with files.translated("write", folder):
        folder.mkdir(exist_ok=True)
    paths = []
    for name, figure in paper.draw(summaries).items():
        for suffix in ("png", "svg"):
            path = folder / f"{name}.{suffix}"
            files.write_atomically(path, style.render(figure, suffix))
            paths.append(path)
    for name, table in paper.tables(summaries).items():
        path = folder / f"{name}.md"
        files.write_atomically(path, table.encode())
        paths.append(path)
    return paths

"""summary.json, the findings of a study in numbers: written whole, read whole or refused."""

import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import files, manifest

NAME = "summary.json"
FORMAT = manifest.Format(
    "jaxneurons-summary", 1, errors.StudyError, "analyze the study again"
)


def read(path: pathlib.Path) -> dict[str, Any]:
    """The summary.json of a study's directory.

    Raises:
        StudyError: there is none, or it is damaged or was edited.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    absent = f"{path} has no {NAME}: not a finished study"
    return manifest.read(FORMAT, path / NAME, absent)


def write(path: pathlib.Path, summary: Mapping[str, Any]) -> None:
    """Replaces the summary.json in a directory atomically."""
    files.write_atomically(path / NAME, manifest.seal(FORMAT, summary))

"""The findings of a study: summary.json, and the .jsonl files whose digests it holds.

In: what an analysis finds. Out: the same again, or an error: all of it belongs together, and what
is another analysis' or damaged is refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import files, manifest, strict_json
from jaxneurons.disk.places import Folder

NAME = "summary.json"
POSITIONAL = "positional.jsonl"
FORMAT = manifest.Format(
    "jaxneurons-summary", 2, errors.StudyError, "analyze the study again"
)


def detectors_name(n: int) -> str:
    """The file of the n-gram detectors."""
    return f"detectors_{n}.jsonl"


def read(path: Folder) -> dict[str, Any]:
    """The summary.json of a study's directory.

    Raises:
        StudyError: there is none, or it is damaged or was edited.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    absent = f"{path} has no {NAME}: not a finished study"
    return manifest.read(FORMAT, path / NAME, absent)


def read_lines(path: Folder, name: str) -> Iterator[dict[str, Any]]:
    """The records of a .jsonl file of a study's directory, one in memory at a time; raises as `read`."""
    expected = read(path)["files"].get(name)
    files.require_digest(path / name, expected, FORMAT.error, FORMAT.remedy)
    with files.translated("read", path / name), files.reading(path / name) as lines:
        for line in lines:
            yield strict_json.parse(line, str(path / name), FORMAT.error)


def write(path: Folder, sections: Mapping[str, Any], written: Iterable[str]) -> None:
    """Replaces the summary.json in a directory atomically.

    Args:
        path: of the directory.
        sections: what summary.json says, by section.
        written: names of the .jsonl files that belong to it, which are there already.
    """
    with files.translated("read", path):
        digests = {name: files.digest(path / name) for name in written}
    sealed = manifest.seal(FORMAT, {**sections, "files": digests})
    files.write_atomically(path / NAME, sealed)

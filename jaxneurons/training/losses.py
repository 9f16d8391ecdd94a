"""The losses of a run, a JSON object per logged step: lines in, lines of loss.jsonl out, and back.

A line has `step`, `tokens`, and what was measured: `loss`, `validation_loss` and others.
"""

import os
import pathlib

from jaxneurons import errors
from jaxneurons.disk import files, strict_json

Line = dict[str, float]


def append(path: pathlib.Path, line: Line) -> None:
    """Adds a line; it is on the disk when this returns.

    Raises:
        InputOutputError: the operating system refuses.
    """
    with files.translated("write", path), open(path, "ab") as file:
        file.write(strict_json.to_line(line))
        file.flush()
        os.fsync(file.fileno())


def read(path: pathlib.Path) -> list[Line]:
    """All lines, but not one that a killed process left half-written.

    Raises:
        TrainingError: a line is damaged.
        InputOutputError: the operating system refuses.
    """
    if not path.exists():
        return []
    with files.translated("read", path):
        whole = files.read_file(path).split(b"\n")[:-1]
    return [
        strict_json.parse_object(line, f"{path}:{number}", errors.TrainingError)
        for number, line in enumerate(whole, start=1)
    ]


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes the lines of later steps, which are to be computed again."""
    kept = [line for line in read(path) if line["step"] <= step]
    files.write_atomically(path, b"".join(map(strict_json.to_line, kept)))

"""A training run on disk: what it was begun with, its losses, and where everything lies.

    DIRECTORY/train.json         format version, model, recipe, corpus, baselines, status, kept steps
    DIRECTORY/tokenizer/         the tokenizer, its tokenizer.json as in a store
    DIRECTORY/checkpoints/1500/  the state after 1500 updates
    DIRECTORY/loss.jsonl         a line per logged step
    DIRECTORY/loss.png           the same as a figure
    DIRECTORY/train.log          what the command said

The directory appears whole, with train.json in it, or not at all.
"""

import contextlib
import os
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, manifest, strict_json
from jaxneurons.training import checkpoints

FORMAT = manifest.Format(
    "jaxneurons-training", 1, errors.TrainingError, "train the model again"
)
MANIFEST = "train.json"
TOKENIZER_FOLDER = "tokenizer"
_KEYS = {"status", "identity", "baselines"}
_RUNNING, _FINISHED = "running", "finished"


class Record:
    """A training directory, opened by `open_record`.

    Attributes:
        path: the directory.
        entries: of train.json.
    """

    def __init__(self, path: pathlib.Path, entries: dict[str, Any]):
        self.path = path
        self.entries = entries

    @property
    def config(self) -> Config:
        """The model's."""
        return Config.from_json(self.entries["identity"]["model"])

    @property
    def run(self) -> str:
        """Tells runs apart: all that the run was begun with, as text."""
        return strict_json.to_bytes(self.entries["identity"]).decode()

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.entries["status"] == _FINISHED

    @property
    def checkpoints_path(self) -> pathlib.Path:
        """Where checkpoints lie, by step."""
        return self.path / "checkpoints"

    def saved_steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, ascending."""
        return checkpoints.saved_steps(self.checkpoints_path)

    @property
    def tokenizer_path(self) -> pathlib.Path:
        """The tokenizer's file."""
        return self.path / TOKENIZER_FOLDER / "tokenizer.json"

    def read_tokenizer(self) -> bytes:
        """The content of its `tokenizer.json`."""
        with files.translated("read", self.tokenizer_path):
            return files.read_file(self.tokenizer_path)

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises MismatchError unless the run was begun with this; names all that differs."""
        here = strict_json.parse(
            strict_json.to_bytes(dict(identity)), MANIFEST, errors.TrainingError
        )
        differences = manifest.differences("", self.entries["identity"], here)
        if differences:
            raise errors.MismatchError(
                f"{self.path} cannot be resumed, it was begun with something else: "
                + "; ".join(differences)
            )

    def add_keep(self, steps: Collection[int]) -> tuple[int, ...]:
        """Steps whose checkpoints stay: these, and those of the commands before, which this one need not repeat.

        Raises:
            UsageError: the run is past one of these without its checkpoint.
        """
        saved = self.saved_steps()
        missed = [step for step in steps if saved and step < saved[-1]]
        if missed := sorted(set(missed) - set(saved)):
            raise errors.UsageError(
                f"keep {missed}: the run in {self.path} is at step {saved[-1]}, and has no "
                "checkpoint of them"
            )
        keep = sorted({*self.entries.get("keep", ()), *steps})
        if keep != self.entries.get("keep", []):
            self.entries["keep"] = keep
            write_entries(self.path, self.entries)
        return tuple(keep)

    def write_losses(self, line: Mapping[str, Any]) -> None:
        """Adds a line to loss.jsonl; it is on the disk when this returns."""
        path = self.path / "loss.jsonl"
        with files.translated("write", path), open(path, "ab") as file:
            file.write(strict_json.to_line(line))
            file.flush()
            os.fsync(file.fileno())

    def read_losses(self) -> list[dict[str, Any]]:
        """The lines of loss.jsonl, without one that a killed process left half-written."""
        path = self.path / "loss.jsonl"
        if not path.exists():
            return []
        with files.translated("read", path):
            whole = files.read_file(path).split(b"\n")[:-1]
        return [
            _parse_loss(line, f"{path}, line {number}")
            for number, line in enumerate(whole, start=1)
        ]

    def drop_losses_after(self, step: int) -> None:
        """Removes the lines of steps that are to run again."""
        kept = [line for line in self.read_losses() if line["step"] <= step]
        content = b"".join(map(strict_json.to_line, kept))
        files.write_atomically(self.path / "loss.jsonl", content)

    def finish(self) -> None:
        """Declares all steps done."""
        self.entries["status"] = _FINISHED
        write_entries(self.path, self.entries)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from going on with the same run.

        Raises:
            OutputExistsError: another process is at it.
        """
        with files.locked_directory(self.path, "training there"):
            yield


def new_entries(
    identity: Mapping[str, Any], baselines: Mapping[str, float]
) -> dict[str, Any]:
    """The entries of train.json of a run that begins."""
    return {
        "status": _RUNNING,
        "identity": dict(identity),
        "baselines": dict(baselines),
    }


def write_entries(path: pathlib.Path, entries: Mapping[str, Any]) -> None:
    """Replaces train.json atomically."""
    files.write_atomically(path / MANIFEST, manifest.seal(FORMAT, entries))


def is_record(path: pathlib.Path) -> bool:
    """Whether there is a training run at a path."""
    return os.path.isfile(path / MANIFEST)


def open_record(path: pathlib.Path) -> Record:
    """Opens a run, finished or not.

    Raises:
        TrainingError: there is none, or train.json is damaged.
        FormatVersionError: it was written in another version of the format.
    """
    path = path.absolute()
    where = f"{path}: {MANIFEST}"
    try:
        content = files.read_file(path / MANIFEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.TrainingError(
            f"{path}: no {MANIFEST}: not a training directory"
        ) from error
    except OSError as error:
        raise files.io_error("read", path / MANIFEST, error) from error
    entries = manifest.unseal(FORMAT, content, where)
    _check(entries, where)
    return Record(path, entries)


def _check(entries: dict[str, Any], where: str) -> None:
    manifest.check_keys(FORMAT, entries, _KEYS, where, optional="keep")
    if entries["status"] not in [_RUNNING, _FINISHED]:
        raise errors.TrainingError(f"{where}: status is {entries['status']!r:.80}")
    if not _are_steps(entries.get("keep", [])):
        raise errors.TrainingError(f"{where}: keep is {entries['keep']!r:.80}")
    identity = entries["identity"]
    if not isinstance(identity, dict) or "model" not in identity:
        raise errors.TrainingError(f"{where}: identity is {identity!r:.80}")
    try:
        Config.from_json(identity["model"])
    except errors.ConfigError as error:
        raise errors.TrainingError(f"{where}: {error}") from error


def _are_steps(value: Any) -> bool:
    return isinstance(value, list) and all(type(step) is int for step in value)


def _parse_loss(line: bytes, where: str) -> dict[str, Any]:
    entry = strict_json.parse_object(line, where, errors.TrainingError)
    if type(entry.get("step")) is not int:
        raise errors.TrainingError(f"{where}: {line!r:.80}, wanted an object with step")
    return entry

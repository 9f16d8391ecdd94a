"""A training run on disk: what it was begun with, how far it is, and where everything lies.

    DIRECTORY/train.json         what the run was begun with, baselines, status, kept steps
    DIRECTORY/tokenizer/         the tokenizer, its tokenizer.json as in a store
    DIRECTORY/checkpoints/1500/  the state after 1500 updates
    DIRECTORY/loss.jsonl         one line per logged step
    DIRECTORY/loss.png           the same as a figure
    DIRECTORY/train.log          what the command said

The directory appears whole, with train.json in it, or not at all.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, manifest, strict_json
from jaxneurons.terms import TOKENIZER_FILE
from jaxneurons.training import checkpoints
from jaxneurons.training.recipe import Recipe

FORMAT = manifest.Format(
    "jaxneurons-training", 6, errors.TrainingError, "train the model again"
)
MANIFEST = "train.json"
TOKENIZER_FOLDER = "tokenizer"
_RUNNING, _FINISHED = "running", "finished"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """All that decides the numbers of a run.

    Attributes:
        model: sizes and variant of the model.
        recipe: hyperparameters.
        corpus: `index` of each domain, whose order decides the batches, and `fingerprint` of its text,
            by name.
        windows: how many windows are for "training" and for "validation".
        validation_share: share of each domain's documents that is held out.
        tokenizer: its digest.
        versions: of the packages that compute; None for one that runs from a checkout.
        device: platform, kind and number of devices.
    """

    model: Config
    recipe: Recipe
    corpus: Mapping[str, Mapping[str, Any]]
    windows: Mapping[str, int]
    validation_share: float
    tokenizer: str
    versions: Mapping[str, str | None]
    device: Mapping[str, Any]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The identity whose `dataclasses.asdict` was written as JSON."""
        model = Config.from_json(values["model"])
        recipe = Recipe(**values["recipe"])
        return cls(**{**values, "model": model, "recipe": recipe})

    def digest(self) -> str:
        """SHA-256 of all of it, as hex."""
        content = strict_json.to_bytes(dataclasses.asdict(self))
        return hashlib.sha256(content).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A training directory and what its train.json says.

    Attributes:
        path: the directory.
        identity: what the run was begun with.
        machine: what decides the last bits of its numbers, but need not stay the same.
        baselines: losses of n-gram models on the held-out windows, in nats per token.
        keep: steps whose checkpoints stay forever, ascending.
        finished: whether all steps are done.
    """

    path: pathlib.Path
    identity: Identity
    machine: Mapping[str, Any]
    baselines: Mapping[str, float]
    keep: tuple[int, ...] = ()
    finished: bool = False

    @property
    def checkpoints(self) -> pathlib.Path:
        """The directory of checkpoints, by step."""
        return self.path / "checkpoints"

    @property
    def tokenizer(self) -> pathlib.Path:
        """The tokenizer's file."""
        return self.path / TOKENIZER_FOLDER / TOKENIZER_FILE

    @property
    def losses(self) -> pathlib.Path:
        """The file of losses, as `losses` reads and writes it."""
        return self.path / "loss.jsonl"

    def read_tokenizer(self) -> bytes:
        """The content of its `tokenizer.json`; raises TrainingError unless it is the run's own."""
        with files.translated("read", self.tokenizer):
            content = files.read_file(self.tokenizer)
        if hashlib.sha256(content).hexdigest() != self.identity.tokenizer:
            raise errors.TrainingError(
                f"{self.tokenizer} is damaged: not the file written; {FORMAT.remedy}"
            )
        return content

    def saved_steps(self) -> list[int]:
        """Steps of the checkpoints that are whole, ascending."""
        return checkpoints.saved_steps(self.checkpoints)

    def write(self) -> Self:
        """Replaces train.json atomically."""
        entries = dataclasses.asdict(self) | {
            "status": _FINISHED if self.finished else _RUNNING
        }
        del entries["path"], entries["finished"]
        files.write_atomically(self.path / MANIFEST, manifest.seal(FORMAT, entries))
        return self

    def check_identity(self, identity: Identity) -> None:
        """Raises MismatchError unless the run was begun with this; names all that differs."""
        there, here = (dataclasses.asdict(value) for value in (self.identity, identity))
        if differences := manifest.differences("", there, here):
            raise errors.MismatchError(
                f"{self.path} cannot be resumed, because it was begun with something else: "
                + "; ".join(differences)
            )

    def keeping(self, steps: Collection[int]) -> Self:
        """The run, written, that keeps these steps too; a later command need not repeat them.

        Raises:
            UsageError: the run is past one of these, and has no checkpoint of it.
        """
        saved = self.saved_steps()
        passed = [step for step in steps if saved and step < saved[-1]]
        if missed := sorted(set(passed) - set(saved)):
            raise errors.UsageError(
                f"{self.path} is already at step {saved[-1]} and has no checkpoint of {missed} "
                "to keep."
            )
        keep = tuple(sorted({*self.keep, *steps}))
        return dataclasses.replace(self, keep=keep).write()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from training in the same directory.

        Raises:
            OutputExistsError: another process does.
        """
        with files.locked_directory(self.path, "training there"):
            yield


def is_run(path: pathlib.Path) -> bool:
    """Whether there is a training run at a path."""
    return os.path.isfile(path / MANIFEST)


def open_run(path: pathlib.Path) -> Run:
    """Opens a run, finished or not.

    Raises:
        TrainingError: there is none, or train.json is damaged.
        FormatVersionError: it was written in another version of the format.
    """
    path = path.absolute()
    absent = f"{path} is not a training directory: it has no {MANIFEST}."
    entries = manifest.read(FORMAT, path / MANIFEST, absent)
    return Run(
        path=path,
        identity=Identity.from_json(entries["identity"]),
        machine=entries["machine"],
        baselines=entries["baselines"],
        keep=tuple(entries["keep"]),
        finished=entries["status"] == _FINISHED,
    )

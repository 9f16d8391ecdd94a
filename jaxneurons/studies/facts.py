"""What study.json says, as frozen values: what was studied, how, with what, and how far it is.

In: the file. Out: `Facts`, or one error. The file is sealed and versioned (`disk.manifest`), so
what it says is not checked again field by field.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, manifest, strict_json
from jaxneurons.disk.places import Folder
from jaxneurons.studies.array import Entry
from jaxneurons.studies.settings import Settings

FORMAT = manifest.Format(
    "jaxneurons-study", 5, errors.StudyError, "run the study again"
)
NAME = "study.json"
# The same model may be stored somewhere else, and forget there where it is from.
_NOT_COMPARED_OF_MODEL = ("location", "step")
# The fingerprint of a domain stands for its text; what lay beside it may change.
_NOT_COMPARED_OF_DOMAIN = ("documents", "bytes", "left_out")
# Differences whose effect is not obvious.
_REASONS = {
    "settings.windows_per_batch": (
        "rounding depends on it, and so does which values near 0 count as active"
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """The model that was studied.

    Attributes:
        name: what figures call it.
        fingerprint: tells it from other models (`Store.fingerprint`).
        location: where its store was.
        dtype: the type that its weights are stored in.
        config: its sizes and variant.
        step: of the training run whose checkpoint it is; None where that is not known.
    """

    name: str
    fingerprint: str
    location: str
    dtype: str
    config: Config
    step: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """One domain of the text.

    Attributes:
        name: what the user calls it.
        index: its place along the axis `domain` of arrays.
        fingerprint: of its text, its file names and the tokenizer.
        windows: windows of it, all of T tokens but perhaps the last.
        full_windows: those of T tokens.
        tokens: tokens in them, BOS included and padding not.
        documents: of which tokens were read; None where the windows were not read from text.
        bytes: of the text of these documents in UTF-8.
        left_out: what was not read: what it is, why, and its number, None where nobody counted.
    """

    name: str
    index: int
    fingerprint: str
    windows: int
    full_windows: int
    tokens: int
    documents: int | None = None
    bytes: int | None = None
    left_out: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """What JAX computed on: its platform ("cpu", "gpu") and the kind of device."""

    platform: str
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """What a resumed run must share with the run that it continues.

    Attributes:
        model: the model.
        corpus: the domains of the text, in the order of the arrays.
        special_tokens: ids that only windows put into text, ascending.
        settings: what else decides the numbers.
        versions: version of each package that may change a bit, by name; None for one that runs from a checkout.
        device: what it is computed on.
    """

    model: Model
    corpus: tuple[Domain, ...]
    special_tokens: tuple[int, ...]
    settings: Settings
    versions: Mapping[str, str | None]
    device: Device

    def to_json(self) -> dict[str, Any]:
        """The entries of study.json that say it."""
        corpus = {domain.name: dataclasses.asdict(domain) for domain in self.corpus}
        for entry in corpus.values():
            del entry["name"]
        return dataclasses.asdict(self) | {"corpus": corpus}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoneLayer:
    """A layer that need not run again.

    Attributes:
        layer: its index in the model.
        seconds: how long it took.
        wait_seconds: of these, how long its weights were waited for.
        hidden_states: where they were: "memory", "device", "host" or "disk".
    """

    layer: int
    seconds: float
    wait_seconds: float
    hidden_states: str


@dataclasses.dataclass(frozen=True)
class ResumePoint:
    """The copy of the residual stream after a layer, and the digest of each part of it."""

    layer: int
    digests: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """All that study.json says.

    Attributes:
        identity: what was studied, how and with what.
        complete: whether all layers are done and everything is under its final name.
        done: layers that are done, whether asked for or only passed through.
        passes: how many windows had passed through all layers at the end of each pass.
        resume_from: where an interrupted run continues, if a copy was kept.
        arrays: what describes each array, by name.
        files: SHA-256 of each other file that is read again, by its path in the study.
        seconds: that each stage took of the run that completed it, by name, without layers of runs before.
    """

    identity: Identity
    complete: bool = False
    done: tuple[DoneLayer, ...] = ()
    passes: tuple[int, ...] = ()
    resume_from: ResumePoint | None = None
    arrays: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entries of study.json."""
        asked = self.identity.settings.layers
        layers = range(self.identity.model.config.num_hidden_layers)
        entries = {
            "status": "complete" if self.complete else "running",
            "layers": {
                "asked": asked,
                "not_asked": [layer for layer in layers if layer not in asked],
                "done": [dataclasses.asdict(layer) for layer in self.done],
            },
            "passes": self.passes,
            "arrays": {name: entry.to_json() for name, entry in self.arrays.items()},
            "files": self.files,
            "seconds": self.seconds,
        }
        if self.resume_from is not None:
            entries["resume_from"] = dataclasses.asdict(self.resume_from)
        return self.identity.to_json() | entries


def read(path: Folder) -> Facts:
    """What the study.json in a directory says.

    Raises:
        StudyError: there is none, or it is damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    absent = f"{path} is not a study: it has no {NAME}. Choose a study's directory."
    entries = manifest.read(FORMAT, path / NAME, absent)
    try:
        found = _from_json(entries)
    except (TypeError, KeyError, errors.ConfigError) as error:
        raise errors.StudyError(
            f"{path / NAME} is sealed, but not by this code ({error}); {FORMAT.remedy}"
        ) from error
    if strange := [name for name in found.arrays if not files.is_plain_name(name)]:
        raise errors.StudyError(f"{path / NAME} names an array {strange[0]!r:.80}")
    return found


def write(path: Folder, facts: Facts) -> None:
    """Replaces the study.json in a directory atomically."""
    files.write_atomically(path / NAME, manifest.seal(FORMAT, facts.to_json()))


def differences(there: Identity, here: Identity) -> list[str]:
    """All that differs between two runs, each as a phrase."""
    was, now = (
        strict_json.parse(strict_json.to_bytes(compared(each)), NAME, FORMAT.error)
        for each in (there, here)
    )
    return list(map(_explained, manifest.differences("", was, now)))


def compared(identity: Identity) -> dict[str, Any]:
    """What two runs must share, as JSON has it."""
    entries = identity.to_json()
    for key in _NOT_COMPARED_OF_MODEL:
        del entries["model"][key]
    for domain in entries["corpus"].values():
        for key in _NOT_COMPARED_OF_DOMAIN:
            del domain[key]
    return entries


def _explained(difference: str) -> str:
    reason = _REASONS.get(difference.partition(" ")[0])
    return f"{difference} ({reason})" if reason else difference


def _from_json(entries: dict[str, Any]) -> Facts:
    """The facts that `Facts.to_json` gave; entries that it does not give raise TypeError."""
    names = [field.name for field in dataclasses.fields(Identity)]
    described = {name: entries.pop(name) for name in names}
    status, layers = entries.pop("status"), entries.pop("layers")
    listed, saved = entries.pop("arrays"), entries.pop("resume_from", None)
    return Facts(
        identity=_identity_from_json(described),
        complete=status == "complete",
        done=tuple(DoneLayer(**layer) for layer in layers["done"]),
        passes=tuple(entries.pop("passes")),
        resume_from=saved and ResumePoint(saved["layer"], tuple(saved["digests"])),
        arrays={name: Entry.from_json(entry) for name, entry in listed.items()},
        **entries,
    )


def _identity_from_json(entries: dict[str, Any]) -> Identity:
    model = entries["model"]
    domains = [
        Domain(name=name, **entry | {"left_out": tuple(entry.get("left_out", ()))})
        for name, entry in entries["corpus"].items()
    ]
    changed = {
        "model": Model(**model | {"config": Config.from_json(model["config"])}),
        "corpus": tuple(sorted(domains, key=lambda domain: domain.index)),
        "special_tokens": tuple(entries["special_tokens"]),
        "settings": Settings(**entries["settings"]),
        "device": Device(**entries["device"]),
    }
    return Identity(**entries | changed)

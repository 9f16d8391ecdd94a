"""study.json: what was studied, how, with what, and which layers are done.

In: the file, which may be torn, edited or of another version. Out: entries of the right form, or an
error that says what is wrong; and all that differs between two runs.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import arrays, files, manifest
from jaxneurons.studies.study_array import ArraySpec

FORMAT = manifest.Format(
    "jaxneurons-study", 2, errors.StudyError, "run the study again"
)
NAME = "study.json"
# Parts that a resumed run must share with the run it continues.
IDENTITY = ("model", "corpus", "special_tokens", "settings", "versions", "device")
# What an array of a study may hold.
DTYPES = ("int32", "int64", "uint16", "uint32", "float32", "float64")
# Where the same model lies makes no difference.
NOT_COMPARED = ("model.location",)
# Why a difference matters that may not seem to.
_REASONS = {
    "settings.windows_per_batch": "rounding depends on it, and with it which values nearly 0 count as active"
}
_KEYS = {"status", "layers", "passes", "arrays", *IDENTITY}
_ARRAY_KEYS = {"dimensions", "shape", "dtype", "metadata_digest", "digests"}


def read(path: pathlib.Path) -> dict[str, Any]:
    """The entries of the study.json in a directory.

    Raises:
        StudyError: there is none, or it is damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    where = f"{path}: {NAME}"
    try:
        content = files.read_file(path / NAME)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.StudyError(f"{path}: no {NAME}: not a study") from error
    except OSError as error:
        raise files.io_error("read", path / NAME, error) from error
    entries = manifest.unseal(FORMAT, content, where)
    _check(entries, where)
    return entries


def write(path: pathlib.Path, entries: Mapping[str, Any]) -> None:
    """Replaces the study.json in a directory atomically."""
    files.write_atomically(path / NAME, manifest.seal(FORMAT, entries))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """All that differs between the identities of two runs, each as a phrase."""
    here = json.loads(arrays.to_json_bytes(dict(here)))
    return [
        _explained(difference)
        for key in IDENTITY
        for difference in manifest.differences(
            key, there.get(key), here.get(key), NOT_COMPARED
        )
    ]


def _explained(difference: str) -> str:
    reason = _REASONS.get(difference.partition(" ")[0])
    return f"{difference} ({reason})" if reason else difference


def _check(entries: dict[str, Any], where: str) -> None:
    manifest.check_keys(FORMAT, entries, _KEYS, where, optional="resume_from")
    _require(entries["status"] in ["running", "complete"], f"{where}: status")
    for key in IDENTITY:
        kind = list if key == "special_tokens" else dict
        _require(isinstance(entries[key], kind), f"{where}: {key}")
    layers = entries["layers"]
    manifest.check_keys(
        FORMAT, layers, {"asked", "not_asked", "done"}, f"{where}: layers"
    )
    for name in ("asked", "not_asked"):
        _require(_are_integers(layers[name]), f"{where}: layers.{name}")
    _require(isinstance(layers["done"], list), f"{where}: layers.done")
    for entry in layers["done"]:
        known = isinstance(entry, dict) and _are_integers([entry.get("layer")])
        _require(known, f"{where}: layers.done")
    _require(_are_integers(entries["passes"]), f"{where}: passes")
    if saved := entries.get("resume_from"):
        wanted = {"layer", "digests"}
        manifest.check_keys(FORMAT, saved, wanted, f"{where}: resume_from")
        numbers = _are_integers([saved["layer"]]) and isinstance(saved["digests"], list)
        _require(numbers, f"{where}: resume_from")
    _require(isinstance(entries["arrays"], dict), f"{where}: arrays")
    for name, entry in entries["arrays"].items():
        _require(files.is_plain_name(name), f"{where}: array name {name!r:.80}")
        described = f"{where}: {name}"
        manifest.check_keys(FORMAT, entry, _ARRAY_KEYS, described, optional="rows")
        _check_array(entry, f"{where}: {name}")


def _check_array(entry: Mapping[str, Any], where: str) -> None:
    dimensions, shape = entry["dimensions"], entry["shape"]
    fits = (
        isinstance(dimensions, list)
        and all(isinstance(name, str) for name in dimensions)
        and _are_integers(shape)
        and len(shape) == len(dimensions)
        and entry["dtype"] in DTYPES
        and isinstance(entry["digests"], list)
    )
    _require(fits, where)
    rows = entry.get("rows")
    _require(rows is None or (_are_integers([rows]) and rows > 0), f"{where}: rows")
    _require(rows is None or bool(dimensions), f"{where}: rows")
    parts = ArraySpec(tuple(dimensions), entry["dtype"], rows).part_count(shape)
    _require(len(entry["digests"]) == parts, f"{where}: digests")


def _are_integers(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise errors.StudyError(f"{what} is not what a study has there")

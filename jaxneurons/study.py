"""A study on disk: arrays, manifest, and the points to resume from.

    STUDY/study.json            what was studied, how, with what, and which layers are done
    STUDY/arrays/<name>         a zarr3 group that xarray, zarr and tensorstore open
    STUDY/*.jsonl, summary.json, figures/
    STUDY/partial/              only while running: the residual stream and each layer's candidates

A layer's arrays are written and synced before `study.json` says that the layer is done, so
`study.json` is never ahead of what it names; it is replaced atomically.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from jaxneurons import arrays, errors, files

FORMAT = "jaxneurons-study"
FORMAT_VERSION = 1
MANIFEST = "study.json"
# Parts of study.json that a resumed run must share with the run it continues.
IDENTITY = (
    "model",
    "corpus",
    "special_tokens",
    "settings",
    "versions",
    "device",
)


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """One array of a study.

    Attributes:
        dimensions: names of its axes; one with a `layer` axis is written layer by layer.
        dtype: its zarr3 type.
    """

    dimensions: tuple[str, ...]
    dtype: str

    @property
    def fill_value(self) -> Any:
        """What layers that were not asked for hold: -1, 0 where unsigned, NaN for floats."""
        kind = np.dtype(self.dtype).kind
        return {"i": -1, "u": 0, "f": "NaN"}[kind]


class Study:
    """A study directory, opened to write by `creating` or `resume`, to read by `open_study`.

    Attributes:
        path: the directory.
        manifest: the content of study.json.
    """

    def __init__(self, path: pathlib.Path, manifest: dict[str, Any]):
        self.path = path
        self.manifest = manifest

    @property
    def partial(self) -> pathlib.Path:
        """The folder for what is needed only until the study is complete."""
        return self.path / "partial"

    @property
    def arrays_path(self) -> pathlib.Path:
        """The zarr3 group."""
        return self.path / "arrays"

    @property
    def complete(self) -> bool:
        """Whether every layer asked for is done and everything is under its final name."""
        return self.manifest["status"] == "complete"

    @property
    def asked_layers(self) -> list[int]:
        """Layers whose numbers the study holds, ascending."""
        return self.manifest["layers"]["asked"]

    @property
    def done_layers(self) -> list[int]:
        """Layers, asked for or only passed through, that need not run again."""
        return [entry["layer"] for entry in self.manifest["layers"]["done"]]

    def write_group(self, attributes: Mapping[str, Any]) -> None:
        """Makes `arrays` a zarr3 group with these attributes."""
        content = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": dict(attributes),
        }
        files.write_atomically(
            self.arrays_path / arrays.METADATA_NAME, arrays.to_json_bytes(content)
        )

    def create_array(self, name: str, shape: Sequence[int], spec: ArraySpec) -> None:
        """Makes an array; chunks hold one layer each where there is a layer axis.

        Layers that were not asked for are filled now, the others as they are written.
        """
        chunk = [
            1 if dimension == "layer" else size
            for dimension, size in zip(spec.dimensions, shape, strict=True)
        ]
        described = arrays.metadata(
            shape, spec.dtype, chunk, spec.fill_value, spec.dimensions
        )
        kvstore = arrays.file_kvstore(self.arrays_path / name)
        target = arrays.create(kvstore, described)
        self.manifest["arrays"][name] = described
        if "layer" in spec.dimensions:
            axis = spec.dimensions.index("layer")
            fill = np.full(
                [size for i, size in enumerate(shape) if i != axis],
                float("nan") if spec.fill_value == "NaN" else spec.fill_value,
                spec.dtype,
            )
            for layer in sorted(set(range(shape[axis])) - set(self.asked_layers)):
                arrays.write(_at_layer(target, described, layer), fill)

    def write_array(self, name: str, data: np.ndarray) -> None:
        """Writes a whole array."""
        described = self.manifest["arrays"][name]
        arrays.write(self._open(name), data.astype(described["data_type"]))

    def write_layer(self, name: str, layer: int, data: np.ndarray) -> None:
        """Writes one layer of an array; data has the array's axes but `layer`."""
        described = self.manifest["arrays"][name]
        part = _at_layer(self._open(name), described, layer)
        arrays.write(part, data.astype(described["data_type"]))

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            StudyError: it is missing or damaged.
        """
        return self._checked_read(name, self._open(name))

    def read_layer(self, name: str, layer: int) -> np.ndarray:
        """One layer of an array, without the layer axis; raises as `read`."""
        described = self.manifest["arrays"][name]
        return self._checked_read(name, _at_layer(self._open(name), described, layer))

    def save_manifest(self) -> None:
        """Replaces study.json atomically."""
        files.write_atomically(self.path / MANIFEST, _seal(self.manifest))

    def finish_layer(self, entry: Mapping[str, Any], checksums: list[int]) -> None:
        """Records that a layer is done, and the copy of the residual stream after it if there is one."""
        self.manifest["layers"]["done"].append(dict(entry))
        if checksums:
            self.manifest["resume_from"] = {
                "layer": entry["layer"],
                "checksums": checksums,
            }
        self.save_manifest()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from working on the same study.

        Raises:
            OutputExistsError: another process is at it.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise errors.OutputExistsError(
                f"{self.path}: another process is working on this study"
            ) from None
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Declares the study complete and removes what only a resumed run would need."""
        self.manifest["status"] = "complete"
        self.manifest.pop("resume_from", None)
        self.save_manifest()
        shutil.rmtree(self.partial, ignore_errors=True)

    def _open(self, name: str) -> ts.TensorStore:
        if name not in self.manifest["arrays"]:
            raise errors.StudyError(f"{self.path}: the study has no array {name!r}")
        kvstore = arrays.file_kvstore(self.arrays_path / name)
        return arrays.open_described(kvstore, self.manifest["arrays"][name])

    def _checked_read(self, name: str, part: ts.TensorStore) -> np.ndarray:
        try:
            return part.read().result()
        except ValueError as error:
            raise errors.StudyError(
                f"{self.path}: arrays/{name} is damaged: {arrays.read_reason(error)}"
            ) from error


@contextlib.contextmanager
def creating(
    path: pathlib.Path, identity: Mapping[str, Any], asked_layers: Sequence[int]
) -> Iterator[Study]:
    """Begins a study: what the block writes appears at `path` when it ends, with study.json.

    Args:
        path: a directory that does not exist or is empty.
        identity: what study.json says under the keys of `IDENTITY`.
        asked_layers: layers whose numbers it will hold.

    Raises:
        OutputExistsError: path is taken; says so if `--resume` would go on with it.
    """
    if (path / MANIFEST).exists() and not open_study(path).complete:
        raise errors.OutputExistsError(
            f"{path} holds an unfinished study; go on with it by --resume"
        )
    with files.partial_directory(path, "a study") as partial:
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "status": "running",
            **identity,
            "layers": {"asked": list(asked_layers), "done": []},
            "arrays": {},
        }
        study = Study(partial, manifest)
        with files.translated("write", path):
            study.partial.mkdir()
            study.arrays_path.mkdir()
        yield study
        study.save_manifest()


def resume(path: pathlib.Path, identity: Mapping[str, Any]) -> Study:
    """Opens an unfinished study to go on with it.

    Raises:
        StudyError: there is none, or it is damaged.
        OutputExistsError: it is finished.
        MismatchError: it was begun with something else; names all that differs.
    """
    study = open_study(path)
    if study.complete:
        raise errors.OutputExistsError(f"{path} is finished: nothing to resume")
    here = json.loads(arrays.to_json_bytes(dict(identity)))
    differences = [
        difference
        for key in IDENTITY
        for difference in _differences(key, study.manifest.get(key), here.get(key))
    ]
    if differences:
        raise errors.MismatchError(
            f"{path} cannot be resumed, it was begun with something else: "
            + "; ".join(differences)
        )
    return study


def open_study(path: pathlib.Path) -> Study:
    """Opens a study, finished or not.

    Raises:
        StudyError: there is none, or study.json is damaged.
        FormatVersionError: it was written in another version of the format.
    """
    path = pathlib.Path(path).absolute()
    try:
        content = (path / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise errors.StudyError(f"{path}: no {MANIFEST}: not a study") from error
    except OSError as error:
        raise files.io_error("read", path / MANIFEST, error) from error
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise errors.StudyError(f"{path}: {MANIFEST} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise errors.StudyError(f"{path}: {MANIFEST} is not that of a {FORMAT}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise errors.FormatVersionError(
            f"{path}: the study has format version {manifest.get('format_version')!r}, "
            f"this code reads version {FORMAT_VERSION}; run the study again"
        )
    if _seal(manifest) != content:
        raise errors.StudyError(f"{path}: {MANIFEST} is damaged: checksum mismatch")
    return Study(path, {k: v for k, v in manifest.items() if k != "digest"})


def _seal(manifest: Mapping[str, Any]) -> bytes:
    """study.json's bytes: the manifest and a digest of it."""
    return arrays.to_json_bytes(arrays.sealed(manifest))


def _at_layer(
    target: ts.TensorStore, described: Mapping[str, Any], layer: int
) -> ts.TensorStore:
    axis = described["dimension_names"].index("layer")
    return target[(slice(None),) * axis + (layer,)]


def _differences(key: str, there: Any, here: Any) -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            difference
            for name in sorted(there.keys() | here.keys())
            for difference in _differences(
                f"{key}.{name}", there.get(name), here.get(name)
            )
        ]
    return [] if there == here else [f"{key} was {there!r} and is now {here!r}"]

"""A study on disk: arrays, manifest, and the points to resume from.

    STUDY/study.json            what was studied, how, with what, and which layers are done
    STUDY/arrays/<name>         a zarr3 group that xarray, zarr and tensorstore open
    STUDY/*.jsonl, summary.json, figures/
    STUDY/partial/              only while running: the residual stream and each layer's candidates

A layer's arrays are written and synced before `study.json` says that the layer is done, so
`study.json` is never ahead of what it names; it holds a digest of every layer of every array.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons import errors
from jaxneurons.disk import arrays, files
from jaxneurons.studies import study_array, study_manifest
from jaxneurons.studies.study_array import ArraySpec, StudyArray


class Study:
    """A study directory, opened to write by `creating` or `resume`, to read by `open_study`.

    Attributes:
        path: the directory.
        manifest: the entries of study.json.
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
    def counts_ngrams(self) -> bool:
        """Whether n-grams were asked for."""
        return self.manifest["settings"]["ngrams"]

    @property
    def done_layers(self) -> list[int]:
        """Layers, asked for or only passed through, that need not run again."""
        return [entry["layer"] for entry in self.manifest["layers"]["done"]]

    @property
    def passes(self) -> tuple[int, ...]:
        """Windows up to the end of each pass that is done."""
        return tuple(self.manifest["passes"])

    @property
    def resume_from(self) -> dict[str, Any] | None:
        """The layer and the digests of the parts of the residual stream's copy, if there is one."""
        return self.manifest.get("resume_from")

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

    def create_array(
        self,
        name: str,
        shape: Sequence[int],
        spec: ArraySpec,
        asked_for: bool = True,
    ) -> None:
        """Makes an array, in place of one of that name if there is one.

        Layers that were not asked for are filled now, the others as they are written; all are
        filled of an array that was not asked for.
        """
        layers = () if spec.layer_axis is None else range(shape[spec.layer_axis])
        asked_layers = self.asked_layers if asked_for else []
        filled = sorted(set(layers) - set(asked_layers))
        array = study_array.create(
            self.arrays_path / name, self._what(name), shape, spec, filled
        )
        self.manifest["arrays"][name] = array.entry

    def write_array(self, name: str, data: np.ndarray) -> None:
        """Writes a whole array."""
        self._array(name).write(data)

    def write_layer(self, name: str, layer: int, data: np.ndarray) -> None:
        """Writes one layer of an array; data has the array's axes but `layer`."""
        self._array(name).write(data, layer)

    def write_rows(self, name: str, pieces: Iterable[np.ndarray]) -> None:
        """Writes an array of `ArraySpec.rows` whose rows come in pieces, at least one."""
        self._array(name).write_rows(pieces)

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            StudyError: it is missing, damaged or not all written yet.
            InputOutputError: the operating system refuses.
        """
        return self._array(name).read()

    def read_layer(self, name: str, layer: int) -> np.ndarray:
        """One layer of an array, without the layer axis; raises as `read`."""
        return self._array(name).read(layer)

    def read_rows(self, name: str, first: int, last: int) -> np.ndarray:
        """Rows `first` to `last`, that one left out, of an array without a layer axis; raises as `read`."""
        return self._array(name).read_rows(first, last)

    def read_parts(self, name: str) -> Iterator[np.ndarray]:
        """An array part by part, as it was written; raises as `read`."""
        return self._array(name).read_parts()

    def save_manifest(self) -> None:
        """Replaces study.json atomically."""
        study_manifest.write(self.path, self.manifest)

    def finish_layer(self, entry: Mapping[str, Any], digests: list[str]) -> None:
        """Records that a layer is done, and the copy of the residual stream after it if there is one."""
        self.manifest["layers"]["done"].append(dict(entry))
        if digests:
            self.manifest["resume_from"] = {
                "layer": entry["layer"],
                "digests": digests,
            }
        self.save_manifest()

    def finish_pass(self, windows: int) -> None:
        """Records that the first so many windows have passed through all layers."""
        self.manifest["passes"].append(windows)
        self.save_manifest()

    def forget_layers(self, layers: Sequence[int]) -> None:
        """Takes back that layers are done; everything below them is passed through again."""
        done = self.manifest["layers"]["done"]
        self.manifest["layers"]["done"] = [
            entry for entry in done if entry["layer"] not in layers
        ]
        self.manifest["passes"] = []
        self.manifest.pop("resume_from", None)
        self.save_manifest()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from working on the same study.

        Raises:
            OutputExistsError: another process is at it, or was since this one opened it.
        """
        with files.locked_directory(self.path, "working on this study"):
            if study_manifest.read(self.path) != self.manifest:
                raise errors.OutputExistsError(
                    f"{self.path}: another process has gone on with this study meanwhile"
                )
            yield

    def finish(self) -> None:
        """Declares the study complete and removes what only a resumed run would need."""
        self.manifest["status"] = "complete"
        self.manifest.pop("resume_from", None)
        self.save_manifest()
        shutil.rmtree(self.partial, ignore_errors=True)

    def _array(self, name: str) -> StudyArray:
        if name not in self.manifest["arrays"]:
            raise errors.StudyError(f"{self.path}: the study has no array {name!r}")
        entry = self.manifest["arrays"][name]
        return StudyArray(self.arrays_path / name, self._what(name), entry)

    def _what(self, name: str) -> str:
        return f"{self.path}: arrays/{name}"


@contextlib.contextmanager
def creating(
    path: pathlib.Path,
    identity: Mapping[str, Any],
    asked_layers: Sequence[int],
    not_asked_layers: Sequence[int] = (),
) -> Iterator[Study]:
    """Begins a study: what the block writes appears at `path` when it ends, with study.json.

    Args:
        path: a directory that does not exist or is empty.
        identity: what study.json says under the keys of `study_manifest.IDENTITY`.
        asked_layers: layers whose numbers it will hold.
        not_asked_layers: the model's other layers, for which it will hold fill values.

    Raises:
        OutputExistsError: path is taken; says so if `--resume` would go on with it.
    """
    _refuse_unfinished(path)
    with files.partial_directory(path, "a study") as partial:
        study = Study(
            partial,
            {
                "status": "running",
                **identity,
                "layers": {
                    "asked": list(asked_layers),
                    "not_asked": list(not_asked_layers),
                    "done": [],
                },
                "passes": [],
                "arrays": {},
            },
        )
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
        # A process killed in its last moment may have left this.
        shutil.rmtree(study.partial, ignore_errors=True)
        raise errors.OutputExistsError(f"{path} is finished: nothing to resume")
    if differences := study_manifest.differences(study.manifest, identity):
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
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(path).absolute()
    return Study(path, study_manifest.read(path))


def open_finished(path: pathlib.Path) -> Study:
    """Opens a study that is complete; raises as `open_study`, and StudyError for an unfinished one."""
    record = open_study(path)
    if not record.complete:
        raise errors.StudyError(f"{path} is not finished; go on with it by --resume")
    return record


def _refuse_unfinished(path: pathlib.Path) -> None:
    try:
        unfinished = not open_study(path).complete
    except errors.BadDataError:
        # No study of ours; whether something else is in the way is seen when it is made.
        return
    if unfinished:
        raise errors.OutputExistsError(
            f"{path} holds an unfinished study; go on with it by --resume"
        )

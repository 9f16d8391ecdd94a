"""A study's directory: what it contains, written and read.

    STUDY/study.json            what was studied, how, with what, and which layers are done
    STUDY/arrays/<name>         a zarr3 group that xarray, zarr and tensorstore open
    STUDY/tokenizer.json        what turns its tokens into text, where the model has one
    STUDY/*.jsonl, summary.json, figures/
    STUDY/partial/              only while running: the residual stream and each layer's candidates

A layer's arrays are written and synced before `study.json` says that the layer is done, so
`study.json` is never ahead of what it names. It holds a digest of every layer of every array and
of every other file that is read again, so that what is another study's or damaged is refused.
"""

import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from jaxneurons import errors
from jaxneurons.disk import arrays, files, folders, strict_json
from jaxneurons.disk.places import Folder
from jaxneurons.studies import array, facts
from jaxneurons.studies.array import ArraySpec, StudyArray
from jaxneurons.studies.facts import DoneLayer, Facts, Identity, ResumePoint

PARTIAL = "partial"
ARRAYS = "arrays"


class Study:
    """A study's directory; `opening` creates, resumes and opens it.

    One thread may write arrays while another writes files.

    Attributes:
        path: the directory; one in an object store can be read and analyzed, not run.
        facts: what study.json says, or will say when it is saved; replaced, never changed.
        saved: called with the facts after each save.
    """

    def __init__(self, path: Folder, facts: Facts):
        self.path = path
        self.facts = facts
        self.saved: Callable[[Facts], None] = lambda facts: None
        self._changing = threading.Lock()

    @property
    def identity(self) -> Identity:
        """What was studied, how and with what."""
        return self.facts.identity

    @property
    def folder(self) -> pathlib.Path:
        """The local directory; that of a study that runs."""
        assert isinstance(self.path, pathlib.Path), self.path
        return self.path

    @property
    def partial(self) -> pathlib.Path:
        """The folder for what is needed only until the study is complete."""
        return self.folder / PARTIAL

    @property
    def arrays_path(self) -> Folder:
        """The zarr3 group."""
        return self.path / ARRAYS

    @property
    def asked_layers(self) -> tuple[int, ...]:
        """Layers whose numbers the study holds, ascending."""
        return self.identity.settings.layers

    @property
    def done_layers(self) -> list[int]:
        """Layers, asked for or only passed through, that need not run again."""
        return [entry.layer for entry in self.facts.done]

    @property
    def passes(self) -> tuple[int, ...]:
        """How many windows had passed through all layers at the end of each pass."""
        return self.facts.passes

    @property
    def resume_from(self) -> ResumePoint | None:
        """Where a killed run goes on, if a copy was kept."""
        return self.facts.resume_from

    def write_group(self) -> None:
        """Makes `arrays` a zarr3 group, which tells xarray and zarr of all arrays that are there."""
        found = {
            path.parent.name: strict_json.read_object(path, errors.StudyError)
            for path in folders.find(self.arrays_path, f"*/{arrays.METADATA_NAME}")
        }
        content: dict[str, Any] = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"domains": [domain.name for domain in self.identity.corpus]},
        }
        if found:
            content["consolidated_metadata"] = {
                "kind": "inline",
                "must_understand": False,
                "metadata": found,
            }
        files.write_atomically(
            self.arrays_path / arrays.METADATA_NAME, strict_json.to_bytes(content)
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
        asked_layers = self.asked_layers if asked_for else ()
        filled = sorted(set(layers) - set(asked_layers))
        made = array.create(self.arrays_path / name, shape, spec, filled)
        self._note_array(made)

    def write_array(self, name: str, data: np.ndarray) -> None:
        """Writes a whole array."""
        self._note_array(self.array(name).write(data))

    def write_layer(self, name: str, layer: int, data: np.ndarray) -> None:
        """Writes one layer of an array; data has the array's axes but `layer`."""
        self._note_array(self.array(name).write(data, layer))

    def write_rows(self, name: str, pieces: Iterable[np.ndarray]) -> None:
        """Writes an array of `ArraySpec.rows` whose rows come in pieces, at least one."""
        self._note_array(self.array(name).write_rows(pieces))

    def read(self, name: str) -> np.ndarray:
        """A whole array.

        Raises:
            StudyError: it is missing, damaged or not all written yet.
            InputOutputError: the operating system refuses.
        """
        return self.array(name).read()

    def require_layer(self, layer: int) -> None:
        """Raises UsageError unless the study holds a layer's numbers."""
        model, asked = self.identity.model, self.asked_layers
        last = model.config.num_hidden_layers - 1
        if not 0 <= layer <= last:
            raise errors.UsageError(
                f"{model.name} has no layer {layer}. Its layers are 0 to {last}."
            )
        if layer not in asked:
            raise errors.UsageError(
                f"{self.path} holds layers {asked[0]} to {asked[-1]}, not layer {layer}. Choose one of "
                "these, or study that layer too."
            )

    def read_layer(self, name: str, layer: int) -> np.ndarray:
        """One layer of an array, without the layer axis; raises as `read`."""
        return self.array(name).read(layer)

    def array(self, name: str) -> StudyArray:
        """An array, to be read in parts."""
        if name not in self.facts.arrays:
            raise errors.StudyError(
                f"{self.path}: the study has no array {name!r}. Analyze it again to have it, or run it again."
            )
        return StudyArray(self.arrays_path / name, self.facts.arrays[name])

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, whose digest study.json will hold; name: its path in the study."""
        path = self.folder / name
        with files.replacing(path) as file:
            yield file
        with files.translated("read", path):
            digest = files.digest(path)
        with self._changing:
            self._note(files={**self.facts.files, name: digest})

    def verified(self, name: str) -> Folder:
        """The path of a file that is as `writing` left it.

        Raises:
            StudyError: it is missing, damaged or another study's.
            InputOutputError: the operating system refuses.
        """
        path, expected = self.path / name, self.facts.files.get(name)
        remedy = facts.FORMAT.remedy
        files.require_digest(path, expected, errors.StudyError, remedy)
        return path

    def remove(self, name: str) -> None:
        """Removes a file."""
        (self.folder / name).unlink()
        with self._changing:
            kept = {n: digest for n, digest in self.facts.files.items() if n != name}
            self._note(files=kept)

    def save(self) -> None:
        """Replaces study.json atomically."""
        said = self.facts
        facts.write(self.path, said)
        self.saved(said)

    def finish_layer(self, layer: DoneLayer, digests: Sequence[str]) -> None:
        """Notes that a layer is done, and the digests of the residual stream's copy after it."""
        with self._changing:
            self._note(done=(*self.facts.done, layer))
            if digests:
                copy = ResumePoint(layer.layer, tuple(digests))
                self._note(resume_from=copy)
        self.save()

    def finish_pass(self, windows: int) -> None:
        """Notes that the first `windows` windows have passed through all layers."""
        with self._changing:
            self._note(passes=(*self.passes, windows))
        self.save()

    def forget_layers(self, layers: Sequence[int]) -> None:
        """Notes that layers must run again, which takes another pass through all below them."""
        with self._changing:
            done = tuple(each for each in self.facts.done if each.layer not in layers)
            self._note(done=done, passes=(), resume_from=None)
        self.save()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from working on the same study.

        Raises:
            OutputExistsError: another process is at it, or was since this one opened it.
        """
        with files.locked_directory(self.path, "working on this study"):
            if facts.read(self.path) != self.facts:
                raise errors.OutputExistsError(
                    f"{self.path}: another process has continued this study meanwhile. Open it again."
                )
            yield

    def finish(self, seconds: Mapping[str, float] | None = None) -> None:
        """Declares the study complete and removes what only a resumed run would need; `seconds`: of each stage."""
        with self._changing:
            kept = {
                name: digest
                for name, digest in self.facts.files.items()
                if not name.startswith(f"{PARTIAL}/")
            }
            self._note(
                complete=True, resume_from=None, files=kept, seconds=seconds or {}
            )
        self.write_group()
        self.save()
        folders.remove_tree(self.partial)

    def _note(self, **changed: Any) -> None:
        self.facts = dataclasses.replace(self.facts, **changed)

    def _note_array(self, written: StudyArray) -> None:
        name = written.folder.name
        with self._changing:
            self._note(arrays={**self.facts.arrays, name: written.entry})

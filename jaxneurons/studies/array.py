"""One array of a study: written and read whole or part by part, each part with its digest.

A part is a layer, or a number of rows of an array that may be too long to hold at once. In:
integers or floats of the array's shape. Out: the same values, or an error: study.json holds a
digest of every part, so that swapped chunks are detected.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from jaxneurons import errors
from jaxneurons.disk import arrays
from jaxneurons.disk.places import Folder


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """The kind of an array.

    Attributes:
        dimensions: names of its axes; one with a `layer` axis is written layer by layer.
        dtype: its zarr3 type.
        rows: elements along the first axis of a part, where there is no `layer` axis; None: all.
        flag_meanings: what the values 0, 1, … stand for, where they are kinds of something.
    """

    dimensions: tuple[str, ...]
    dtype: str
    rows: int | None = None
    flag_meanings: tuple[str, ...] | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """What xarray shows beside the array: the meanings of flags as CF conventions have them."""
        if self.flag_meanings is None:
            return {}
        values = list(range(len(self.flag_meanings)))
        return {"flag_values": values, "flag_meanings": " ".join(self.flag_meanings)}

    @property
    def fill_value(self) -> Any:
        """What layers that were not asked for hold: -1, 0 where unsigned, NaN for floats."""
        kind = np.dtype(self.dtype).kind
        return {"i": -1, "u": 0, "f": "NaN"}[kind]

    @property
    def layer_axis(self) -> int | None:
        """Which axis is the layers', if any."""
        return self.dimensions.index("layer") if "layer" in self.dimensions else None

    def part_count(self, shape: Sequence[int]) -> int:
        """The number of parts of an array of a shape, at least one."""
        if self.layer_axis is not None:
            return shape[self.layer_axis]
        return 1 if self.rows is None else max(1, -(-shape[0] // self.rows))

    def place(self, part: int, shape: Sequence[int]) -> tuple[Any, ...]:
        """Where a part is in an array of a shape, as an index."""
        if self.layer_axis is not None:
            return (slice(None),) * self.layer_axis + (part,)
        if self.rows is None:
            return (...,)
        first = part * self.rows
        return (slice(first, min(first + self.rows, shape[0])),)

    def metadata(self, shape: Sequence[int]) -> dict[str, Any]:
        """The zarr3 metadata; a chunk is a part, or one domain of a part."""
        chunk = [
            1 if dimension in ("layer", "domain") else size
            for dimension, size in zip(self.dimensions, shape, strict=True)
        ]
        if self.rows is not None:
            chunk[0] = min(self.rows, shape[0])
        described = arrays.metadata(
            shape, self.dtype, chunk, self.fill_value, self.dimensions
        )
        return described | {"attributes": self.attributes}

    def fill(self, shape: Sequence[int]) -> np.ndarray:
        """A layer that was not asked for, of an array of a shape."""
        others = [size for place, size in enumerate(shape) if place != self.layer_axis]
        return np.full(others, float(self.fill_value)).astype(self.dtype)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What study.json says of an array.

    Attributes:
        spec: its kind.
        shape: its shape.
        metadata_digest: of its zarr.json.
        digests: of each part; None for those that are not written yet.
    """

    spec: ArraySpec
    shape: tuple[int, ...]
    metadata_digest: str
    digests: tuple[str | None, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry as study.json has it; `rows` only where parts are rows."""
        entry = dataclasses.asdict(self)
        entry |= entry.pop("spec")
        return {name: value for name, value in entry.items() if value is not None}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Entry":
        """The entry that `to_json` gave."""
        dimensions, rows = tuple(entry["dimensions"]), entry.get("rows")
        meanings = entry.get("flag_meanings")
        spec = ArraySpec(dimensions, entry["dtype"], rows, meanings and tuple(meanings))
        shape, digests = tuple(entry["shape"]), tuple(entry["digests"])
        return cls(spec, shape, entry["metadata_digest"], digests)


@dataclasses.dataclass(frozen=True)
class StudyArray:
    """An array on disk.

    Attributes:
        folder: where it is, STUDY/arrays/NAME.
        entry: what study.json says of it.
    """

    folder: Folder
    entry: Entry

    def write(self, data: np.ndarray, part: int | None = None) -> "StudyArray":
        """Writes the whole of an array of one part, or one part; a layer is without its axis.

        Returns:
            The array whose entry has the new digest.

        Raises:
            StudyError: data has another shape, or values that the array's type cannot hold.
            InputOutputError: the operating system refuses.
        """
        target = self._open(part)
        stored = data.astype(self.entry.spec.dtype)
        if data.shape != target.shape or not _holds(stored, data):
            raise errors.StudyError(
                f"{self._what}: {data.dtype}{list(data.shape)} does not fit "
                f"{stored.dtype}{list(target.shape)}"
            )
        digests = list(self.entry.digests)
        digests[part or 0] = arrays.write(target, stored)
        entry = dataclasses.replace(self.entry, digests=tuple(digests))
        return StudyArray(self.folder, entry)

    def write_rows(self, pieces: Iterable[np.ndarray]) -> "StudyArray":
        """Writes an array of `ArraySpec.rows`, part by part, from at least one piece of any length.

        Returns and raises as `write`.
        """
        array = self
        for part, data in enumerate(_regrouped(pieces, self.part_rows)):
            array = array.write(data, part)
        return array

    def read(self, part: int | None = None) -> np.ndarray:
        """The whole array, or one part; a layer is without its axis.

        Raises:
            StudyError: it is missing, damaged or not all written yet.
            InputOutputError: the operating system refuses.
        """
        data = arrays.read(self._open(part), self._what, errors.StudyError)
        if part is not None:
            self._verify(part, data)
            return data
        for each in range(len(self.entry.digests)):
            self._verify(each, data[self.entry.spec.place(each, data.shape)])
        return data

    def read_rows(self, first: int, last: int) -> np.ndarray:
        """Rows from `first` up to but not including `last`; raises as `read`."""
        rows = self.part_rows
        parts = range(first // rows, -(-last // rows) if last > first else 0)
        none = np.zeros((0, *self.entry.shape[1:]), self.entry.spec.dtype)
        joined = np.concatenate([none, *map(self.read, parts)])
        return joined[first - parts.start * rows :][: last - first]

    def read_parts(self) -> Iterator[np.ndarray]:
        """Each part, one in memory at a time; raises as `read`."""
        return map(self.read, range(len(self.entry.digests)))

    @property
    def _what(self) -> str:
        """The study and the array's name, for messages."""
        return f"{self.folder.parent.parent}: arrays/{self.folder.name}"

    @property
    def part_rows(self) -> int:
        """Rows of each part but the last, of an array without a layer axis."""
        return self.entry.spec.rows or max(1, self.entry.shape[0])

    def _open(self, part: int | None) -> ts.TensorStore:
        target = arrays.open_checked(
            arrays.kvstore(self.folder),
            self.entry.spec.metadata(self.entry.shape),
            self.entry.metadata_digest,
            self._what,
            errors.StudyError,
        )
        if part is None:
            return target
        place = self.entry.spec.place(part, self.entry.shape)
        return target[place][ts.d[:].translate_to[0]]

    def _verify(self, part: int, data: np.ndarray) -> None:
        wanted, where = self.entry.digests[part], self._what
        if len(self.entry.digests) > 1:
            kind = "part" if self.entry.spec.layer_axis is None else "layer"
            where = f"{where}, {kind} {part},"
        if wanted is None:
            raise errors.StudyError(f"{where} is not written yet")
        if arrays.digest(data) != wanted:
            raise errors.StudyError(f"{where} is damaged: not the elements written")


def create(
    folder: Folder,
    shape: Sequence[int],
    spec: ArraySpec,
    filled_layers: Sequence[int],
) -> StudyArray:
    """A new array in place of one that may be there: some layers filled, the rest to be written."""
    target = arrays.create(arrays.kvstore(folder), spec.metadata(shape))
    digests = (None,) * spec.part_count(shape)
    entry = Entry(spec, tuple(shape), arrays.stored_metadata_digest(target), digests)
    array = StudyArray(folder, entry)
    for layer in filled_layers:
        array = array.write(spec.fill(shape), layer)
    return array


def _regrouped(pieces: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The same rows in pieces of `rows` each but the last, which has what is left; at least one."""
    rest, any_yet = None, False
    for piece in pieces:
        rest = piece if rest is None else np.concatenate([rest, piece])
        while len(rest) >= rows:
            yield rest[:rows]
            rest, any_yet = rest[rows:], True
    if rest is not None and (len(rest) or not any_yet):
        yield rest


def _holds(stored: np.ndarray, data: np.ndarray) -> bool:
    """Whether counts are whole numbers, and the same after the change of type."""
    if stored.dtype.kind == "f":
        return True
    return data.dtype.kind in "iu" and np.array_equal(stored, data)

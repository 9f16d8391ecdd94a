"""One array of a study: written and read whole or layer by layer, each part with its digest.

In: integers or floats of the array's shape. Out: the same values, or an error: study.json holds a
digest of every part, so that a layer which another layer's chunk was put in place of is noticed.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from jaxneurons import arrays, errors


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """The kind of an array.

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

    @property
    def layer_axis(self) -> int | None:
        """Which axis is the layers', if any."""
        return self.dimensions.index("layer") if "layer" in self.dimensions else None

    def metadata(self, shape: Sequence[int]) -> dict[str, Any]:
        """The array's zarr3 metadata; a chunk holds one layer of one domain where there are such axes."""
        chunk = [
            1 if dimension in ("layer", "domain") else size
            for dimension, size in zip(self.dimensions, shape, strict=True)
        ]
        return arrays.metadata(
            shape, self.dtype, chunk, self.fill_value, self.dimensions
        )

    def fill(self, shape: Sequence[int]) -> np.ndarray:
        """A layer that was not asked for, of an array of a shape."""
        others = [size for place, size in enumerate(shape) if place != self.layer_axis]
        return np.full(others, float(self.fill_value)).astype(self.dtype)


@dataclasses.dataclass(frozen=True)
class StudyArray:
    """An array on disk, and the entry of study.json that describes it.

    Attributes:
        folder: where it is.
        what: the study and the array's name, for messages.
        entry: dimensions, shape, dtype, metadata_digest and digests; `write` notes digests there.
    """

    folder: pathlib.Path
    what: str
    entry: dict[str, Any]

    def write(self, data: np.ndarray, layer: int | None = None) -> None:
        """Writes the whole of an array without a layer axis, or one layer, without that axis.

        Raises:
            StudyError: data has another shape, or values that the array's type cannot hold.
            InputOutputError: the operating system refuses.
        """
        target = self._open(layer)
        stored = data.astype(self.entry["dtype"])
        if data.shape != target.shape or not _holds(stored, data):
            raise errors.StudyError(
                f"{self.what}: {data.dtype}{list(data.shape)} does not fit "
                f"{stored.dtype}{list(target.shape)}"
            )
        self.entry["digests"][layer or 0] = arrays.write(target, stored)

    def read(self, layer: int | None = None) -> np.ndarray:
        """The whole array, or one layer without that axis.

        Raises:
            StudyError: it is missing, damaged or not all written yet.
            InputOutputError: the operating system refuses.
        """
        data = arrays.read(self._open(layer), self.what, errors.StudyError)
        axis = self._spec.layer_axis
        if layer is not None or axis is None:
            self._verify(layer or 0, data)
        else:
            for part, values in enumerate(np.moveaxis(data, axis, 0)):
                self._verify(part, values)
        return data

    @property
    def _spec(self) -> ArraySpec:
        return ArraySpec(tuple(self.entry["dimensions"]), self.entry["dtype"])

    def _open(self, layer: int | None) -> ts.TensorStore:
        target = arrays.open_checked(
            arrays.file_kvstore(self.folder),
            self._spec.metadata(self.entry["shape"]),
            self.entry["metadata_digest"],
            self.what,
            errors.StudyError,
        )
        if layer is None:
            return target
        return target[
            (slice(None),) * self.entry["dimensions"].index("layer") + (layer,)
        ]

    def _verify(self, part: int, data: np.ndarray) -> None:
        wanted = self.entry["digests"][part]
        where = (
            f"{self.what}, layer {part},"
            if len(self.entry["digests"]) > 1
            else self.what
        )
        if wanted is None:
            raise errors.StudyError(f"{where} is not written yet")
        if arrays.digest(data) != wanted:
            raise errors.StudyError(f"{where} is damaged: not the elements written")


def create(
    folder: pathlib.Path,
    what: str,
    shape: Sequence[int],
    spec: ArraySpec,
    filled_layers: Sequence[int],
) -> StudyArray:
    """A new array in place of one that may be there, with these layers filled and the rest to be written."""
    target = arrays.create(arrays.file_kvstore(folder), spec.metadata(shape))
    parts = 1 if spec.layer_axis is None else shape[spec.layer_axis]
    array = StudyArray(
        folder,
        what,
        {
            "dimensions": list(spec.dimensions),
            "shape": list(shape),
            "dtype": spec.dtype,
            "metadata_digest": arrays.stored_metadata_digest(target),
            "digests": [None] * parts,
        },
    )
    for layer in filled_layers:
        array.write(spec.fill(shape), layer)
    return array


def _holds(stored: np.ndarray, data: np.ndarray) -> bool:
    """Whether counts are whole numbers, and the same after the change of type."""
    if stored.dtype.kind == "f":
        return True
    return data.dtype.kind in "iu" and np.array_equal(stored, data)

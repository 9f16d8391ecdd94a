"""One zarr3 array on disk, through tensorstore: written whole, read whole or not at all.

Codecs are named (`bytes`, `crc32c`) since raw chunks miss flipped bits; chunks equal to the fill
value are stored and a missing chunk is an error, since a lost one would otherwise read as fill.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from jaxneurons import errors, files

METADATA_NAME = "zarr.json"


def metadata(
    shape: Sequence[int],
    dtype: str,
    chunk: Sequence[int],
    fill_value: float | str = 0,
    dimension_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The zarr3 metadata of an array.

    Args:
        shape: its shape.
        dtype: a zarr3 data type, e.g. "float16", "bfloat16", "int64".
        chunk: shape of a chunk, made at least 1 along every axis.
        fill_value: what an element is before it is written; "NaN" for floats.
        dimension_names: names of the axes, which xarray needs.
    """
    described: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [max(1, size) for size in chunk]},
        },
        "chunk_key_encoding": {"name": "default"},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "fill_value": fill_value,
    }
    if dimension_names is not None:
        described["dimension_names"] = list(dimension_names)
    return described


def file_kvstore(path: pathlib.Path) -> dict[str, str]:
    """The tensorstore key-value store of a local directory."""
    return {"driver": "file", "path": f"{path.absolute()}/"}


def create(kvstore: Any, described: dict[str, Any]) -> ts.TensorStore:
    """A new array; replaces one that is there.

    Raises:
        InputOutputError: the operating system refuses.
    """
    spec = _spec(kvstore, described)
    try:
        return ts.open(spec, create=True, delete_existing=True).result()
    except ValueError as error:
        raise write_error(kvstore, error) from error


def open_described(kvstore: Any, described: dict[str, Any]) -> ts.TensorStore:
    """An existing array, taken to be exactly as described: what its own metadata says is not trusted."""
    spec = _spec(kvstore, described) | {"assume_metadata": True}
    return ts.open(spec, open=True).result()


def write(target: ts.TensorStore, data: np.ndarray) -> None:
    """Writes and waits.

    Raises:
        InputOutputError: the operating system refuses.
    """
    try:
        target.write(data).result()
    except ValueError as error:
        raise write_error(target.kvstore.spec().to_json(), error) from error


def digest(data: np.ndarray) -> str:
    """SHA-256 of the elements in C order, as hex."""
    flat = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return hashlib.sha256(flat.data).hexdigest()


def stored_metadata(array: ts.TensorStore) -> bytes:
    """The bytes of the array's `zarr.json`."""
    return array.kvstore.read(METADATA_NAME).result().value


def write_error(where: Any, error: ValueError) -> errors.InputOutputError:
    """tensorstore's ValueError of a failed write, as ours."""
    path = where.get("path", where) if isinstance(where, dict) else where
    reason = _first_line(error)
    if "RESOURCE_EXHAUSTED" in str(error) or "No space left" in str(error):
        reason = f"No space left on device ({files.free_bytes(path)} bytes free)"
    return errors.InputOutputError(f"cannot write {path}: {reason}")


def read_reason(error: ValueError) -> str:
    """tensorstore's ValueError of a failed read, in one line."""
    text = str(error)
    if "NOT_FOUND" in text:
        return "a chunk is missing"
    if "DATA_LOSS" in text:
        return "checksum mismatch"
    if "Not enough data" in text:
        return "a chunk is truncated"
    return _first_line(error)


def to_json_bytes(value: Any) -> bytes:
    """JSON with sorted keys, as bytes."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a `digest` of all its other entries."""
    covered = {key: value for key, value in manifest.items() if key != "digest"}
    digest_of_rest = hashlib.sha256(to_json_bytes(covered)).hexdigest()
    return covered | {"digest": digest_of_rest}


def _spec(kvstore: Any, described: dict[str, Any]) -> dict[str, Any]:
    return {
        "driver": "zarr3",
        "kvstore": kvstore,
        "metadata": described,
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
    }


def _first_line(error: ValueError) -> str:
    return str(error).strip().splitlines()[0].split(" [tensorstore_spec")[0][:300]

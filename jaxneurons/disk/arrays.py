"""One zarr3 array on disk or in an object store, through tensorstore: written whole, read whole or not at all.

Codecs are named (`bytes`, `crc32c`) since raw chunks miss flipped bits; chunks equal to the fill
value are stored and a missing chunk is an error, since a lost one would otherwise read as fill.
tensorstore raises ValueError for nearly every fault; here it becomes one of `errors`.
"""

import errno
import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorstore as ts
import xxhash

from jaxneurons import errors
from jaxneurons.disk import files, requests
from jaxneurons.disk.places import Folder, Place

METADATA_NAME = "zarr.json"
# What tensorstore says of data that is there and wrong; other failures are the system's.
_DAMAGE = {
    "NOT_FOUND": "it is missing, wholly or in part",
    "DATA_LOSS": "checksum mismatch",
    "FAILED_PRECONDITION": "it is truncated or not what was written",
    "INVALID_ARGUMENT": "it is not what was written",
    "OUT_OF_RANGE": "it is not what was written",
}


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
        # Flat names: tensorstore syncs the folder a chunk is in, not the folders above it.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "fill_value": fill_value,
    }
    if dimension_names is not None:
        described["dimension_names"] = list(dimension_names)
    return described


def kvstore(path: Folder) -> dict[str, Any]:
    """The tensorstore key-value store of a directory.

    Raises:
        UsageError: its path has bytes that are not UTF-8, which tensorstore cannot be told.
    """
    if isinstance(path, Place):
        return path.kvstore
    try:
        # Whatever the locale makes of the bytes. tensorstore takes no path with "..".
        text = os.fsencode(os.path.realpath(path)).decode()
    except UnicodeError as error:
        raise errors.UsageError(
            f"{path}: the path is not UTF-8. Choose another one."
        ) from error
    return {"driver": "file", "path": f"{text}/"}


def create(kvstore: dict[str, Any], described: dict[str, Any]) -> ts.TensorStore:
    """A new array; replaces one that is there.

    Raises:
        InputOutputError: the operating system refuses.
    """
    try:
        return _open(kvstore, described, create=True, delete_existing=True)
    except ValueError as error:
        raise _write_error(_name(kvstore), error) from error


def open_checked(
    kvstore: dict[str, Any],
    described: dict[str, Any],
    metadata_digest: str,
    what: str,
    damaged: type[errors.BadDataError],
) -> ts.TensorStore:
    """An existing array, taken to be exactly as described, after a look that its metadata agrees.

    Args:
        kvstore: where it is, as tensorstore wants it.
        described: what `create` was given.
        metadata_digest: what `stored_metadata_digest` gave.
        what: the array's store and name, for messages.
        damaged: what to raise if the array is not the one that was created.
    """
    try:
        target = _open(kvstore, described, open=True, assume_metadata=True)
        found = stored_metadata_digest(target)
    except ValueError as error:
        raise read_error(what, error, damaged) from error
    if found != metadata_digest:
        raise damaged(f"{what} is damaged: {METADATA_NAME} is not the one written")
    return target


def write(target: ts.TensorStore, data: np.ndarray) -> str:
    """Writes, and gives the digest of the elements; at its end nothing is under way any more.

    Raises:
        InputOutputError: the operating system refuses.
    """
    # The future of a whole array ends with its first failed chunk, while others still land.
    pending = [target[place].write(data[place]) for place in _chunks(target)]
    try:
        elements = digest(data)
        for chunk in pending:
            _finished(chunk, target)
    except ValueError as error:
        path = _name(_kvstore(target).spec().to_json())
        raise _write_error(path, error, data.nbytes) from error
    except errors.InputOutputError:
        # An object store that does not answer: what waits for it may wait for hours.
        pending.clear()
        raise
    finally:
        for chunk in pending:
            chunk.exception()
    return elements


def read(
    target: ts.TensorStore,
    what: str,
    damaged: type[errors.BadDataError],
    pending: ts.Future | None = None,
) -> np.ndarray:
    """The elements of an array, of which a read may be `pending` already; raises as `read_error` says."""
    try:
        return _finished(pending or target.read(), target)
    except ValueError as error:
        raise read_error(what, error, damaged) from error


def digest(data: np.ndarray) -> str:
    """XXH3-128 of the elements in C order, as hex; it finds faults, and is no proof against somebody who forges."""
    flat = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return xxhash.xxh3_128_hexdigest(flat.data)


def stored_metadata_digest(target: ts.TensorStore) -> str:
    """SHA-256 of the array's `zarr.json`, as hex."""
    found = _finished(_kvstore(target).read(METADATA_NAME), target)
    return hashlib.sha256(found.value).hexdigest()


def read_error(
    what: str, error: ValueError, damaged: type[errors.BadDataError]
) -> errors.JaxneuronsError:
    """tensorstore's ValueError of a failed read: damage, or the system's refusal to read."""
    code = _system_code(error)
    status = str(error).partition(":")[0]
    if code is None and status in _DAMAGE:
        return damaged(f"{what} is damaged: {_DAMAGE[status]}")
    reason = requests.first_line(error) if code is None else os.strerror(code)
    return errors.InputOutputError(f"cannot read {what}: {reason}")


def _write_error(
    path: str, error: ValueError, needed: int | None = None
) -> errors.InputOutputError:
    code = _system_code(error)
    if code is None and "RESOURCE_EXHAUSTED" in str(error):
        code = errno.ENOSPC
    if code is None:
        return errors.InputOutputError(
            f"cannot write {path}: {requests.first_line(error)}"
        )
    return files.io_error("write", path, OSError(code, os.strerror(code)), needed)


def _system_code(error: ValueError) -> int | None:
    """The operating system's error number that tensorstore appends, if any."""
    match = re.search(r"os_error_code='(\d+)'", str(error))
    return int(match[1]) if match else None


def _kvstore(target: ts.TensorStore) -> ts.KvStore:
    # None for drivers that keep nothing in files; zarr3 is not one.
    assert target.kvstore is not None
    return target.kvstore


def _chunks(target: ts.TensorStore) -> Iterator[tuple[slice, ...]]:
    """Where each chunk of an array is in it."""
    steps = target.chunk_layout.write_chunk_template.shape
    axes = [
        [slice(begin, min(begin + step, size)) for begin in range(0, size, step)]
        for size, step in zip(target.shape, steps, strict=True)
    ]
    return itertools.product(*axes)


def _open(
    kvstore: dict[str, Any], described: dict[str, Any], **more: Any
) -> ts.TensorStore:
    spec = {
        "driver": "zarr3",
        "kvstore": kvstore,
        "metadata": described,
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
    }
    future = ts.open(spec | more, context=requests.context())
    return requests.finished(future, kvstore, _name(kvstore))


def _finished(future: Any, target: ts.TensorStore) -> Any:
    folder = _kvstore(target).spec().to_json()
    return requests.finished(future, folder, _name(folder))


def _name(kvstore: dict[str, Any]) -> str:
    """What messages call a key-value store."""
    schemes = {driver: scheme for scheme, driver in requests.DRIVERS.items()}
    path = str(kvstore.get("path", ""))
    if kvstore["driver"] not in schemes:
        return path
    return f"{schemes[kvstore['driver']]}://{kvstore['bucket']}/{path}"

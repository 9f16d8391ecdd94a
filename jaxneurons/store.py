"""The model on disk: one group of tensorstore arrays per layer, and a manifest with checksums.

    STORE/manifest.json             format version, config, per array its shape, type and digests
    STORE/layers/007/<parameter>    zarr3, chunks of up to 64 MiB of rows, codecs bytes + crc32c
    STORE/embed/<parameter>
    STORE/tokenizer/<file>

A store is written under a temporary name and renamed when whole. Whatever is read is checked: the
manifest against its own digest, each array's metadata and elements against the manifest.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Self

import ml_dtypes
import numpy as np
import tensorstore as ts
from flax import traverse_util

from jaxneurons import arrays, block, embed, errors, files
from jaxneurons.config import OPTConfig

FORMAT = "jaxneurons-layer-store"
FORMAT_VERSION = 1
DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
}
CHUNK_BYTES = 64 * 2**20
MANIFEST = "manifest.json"
MANIFEST_KEYS = {
    "format",
    "format_version",
    "config",
    "arrays",
    "tokenizer",
    "source",
    "digest",
}


def array_shapes(config: OPTConfig) -> dict[str, tuple[int, ...]]:
    """Names of all arrays of a model's store, and their shapes."""
    layer_shapes = block.parameter_shapes(config)
    shapes = {
        f"embed/{path}": shape for path, shape in embed.parameter_shapes(config).items()
    }
    for layer in range(config.num_hidden_layers):
        for path, shape in layer_shapes.items():
            shapes[f"{_layer_name(layer)}/{path}"] = shape
    return shapes


class Writer:
    """Fills a new store, array by array::

        with store.Writer(path, config) as writer:
            writer.write("embed/token_embedding", table)
            ...
            writer.publish(source={"path": "..."})

    Left by an exception, or without `publish`, it leaves nothing behind.

    Raises:
        OutputExistsError: path is taken, or another process is writing it.
        StoreError: an array that the config does not have, that was written before, or of
            another shape or type; on `publish`, arrays that are missing.
        InputOutputError: the operating system refuses.
    """

    def __init__(self, path: os.PathLike | str, config: OPTConfig):
        self._path = pathlib.Path(path).absolute()
        self._config = config
        self._expected = array_shapes(config)
        self._arrays: dict[str, dict[str, Any]] = {}
        self._tokenizer: dict[str, str] = {}
        self._published = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._partial = self._stack.enter_context(
            files.partial_directory(self._path, "a store")
        )
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None and not self._published:
            error = errors.StoreError(f"{self._path}: the store was left unpublished")
            kind = type(error)
        self._stack.__exit__(kind, error, traceback)
        if isinstance(error, errors.StoreError) and not self._published:
            raise error

    def write(self, name: str, data: np.ndarray) -> None:
        """Writes one array; float16, bfloat16 or float32, of the shape that the config says."""
        self._check(name, data)
        described = _array_metadata(data.shape, data.dtype.name)
        target = arrays.create(arrays.file_kvstore(self._partial / name), described)
        arrays.write(target, data)
        self._arrays[name] = {
            "shape": list(data.shape),
            "dtype": data.dtype.name,
            "digest": arrays.digest(data),
            "metadata_digest": _sha256(arrays.stored_metadata(target)),
        }

    def add_tokenizer(self, contents: Mapping[str, bytes]) -> None:
        """Carries tokenizer files along, by plain file name."""
        folder = self._partial / "tokenizer"
        with files.translated("write", folder):
            folder.mkdir(exist_ok=True)
            for name, content in contents.items():
                (folder / name).write_bytes(content)
                self._tokenizer[name] = _sha256(content)

    def publish(self, source: Mapping[str, Any]) -> None:
        """Writes the manifest; the store appears under its name when the `with` block ends."""
        missing = sorted(self._expected.keys() - self._arrays.keys())
        if missing:
            raise errors.StoreError(f"{self._path}: arrays never written: {missing}")
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "config": self._config.to_json(),
            "arrays": self._arrays,
            "tokenizer": self._tokenizer,
            "source": dict(source),
        }
        content = arrays.to_json_bytes(arrays.sealed(manifest))
        files.write_atomically(self._partial / MANIFEST, content)
        self._published = True

    def _check(self, name: str, data: np.ndarray) -> None:
        if name not in self._expected:
            raise errors.StoreError(f"{self._path}: the model has no array {name!r}")
        if name in self._arrays:
            raise errors.StoreError(f"{self._path}: {name} was written before")
        if data.shape != self._expected[name] or data.dtype.name not in DTYPES:
            raise errors.StoreError(
                f"{self._path}: {name} is {data.dtype.name}{list(data.shape)}, wanted "
                f"{list(self._expected[name])} of one of {sorted(DTYPES)}"
            )


@dataclasses.dataclass(frozen=True)
class Store:
    """A store to read from; made by `open_store`.

    Attributes:
        location: an absolute local path, or a URL that tensorstore knows.
        config: sizes and variant of the model.
        manifest: the whole manifest.
    """

    location: str
    config: OPTConfig
    manifest: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """Tells models apart: a digest of config, arrays and tokenizer, not of where they came from."""
        identity = {
            key: self.manifest[key] for key in ("config", "arrays", "tokenizer")
        }
        return _sha256(arrays.to_json_bytes(identity))

    @property
    def dtype(self) -> str:
        """The type of the token embedding, which in OPT's checkpoints is that of all arrays."""
        return self.manifest["arrays"]["embed/token_embedding"]["dtype"]

    def read_layer(self, layer: int) -> dict[str, Any]:
        """The parameters of one layer, nested as `Block` wants them.

        Raises:
            StoreError: an array is missing, damaged or not the one that was written.
        """
        return self._read_group(_layer_name(layer))

    def read_embed(self) -> dict[str, Any]:
        """The parameters outside the layers, nested as `embed` wants them; raises as `read_layer`."""
        return self._read_group("embed")

    def tokenizer_files(self) -> dict[str, bytes]:
        """Contents of the tokenizer's files by name; empty where the model came without."""
        root = _open_root(self.location)
        contents = {}
        for name, expected in self.manifest["tokenizer"].items():
            content = _read_file(root, f"tokenizer/{name}", self.location)
            if _sha256(content) != expected:
                raise errors.StoreError(
                    f"{self.location}: tokenizer/{name} is damaged: checksum mismatch"
                )
            contents[name] = content
        return contents

    def _read_group(self, group: str) -> dict[str, Any]:
        root = _open_root(self.location)
        shapes = array_shapes(self.config)
        names = [name for name in shapes if name.startswith(f"{group}/")]
        opened = {name: self._open_array(root, name) for name in names}
        pending = {name: array.read() for name, array in opened.items()}
        flat = {}
        for name, future in pending.items():
            try:
                data = future.result()
            except ValueError as error:
                raise self._damaged(name, arrays.read_reason(error)) from error
            if arrays.digest(data) != self.manifest["arrays"][name]["digest"]:
                raise self._damaged(name, "its elements are not the ones written")
            flat[name.removeprefix(f"{group}/")] = data
        return traverse_util.unflatten_dict(flat, sep="/")

    def _open_array(self, root: ts.KvStore, name: str) -> ts.TensorStore:
        entry = self.manifest["arrays"][name]
        described = _array_metadata(entry["shape"], entry["dtype"])
        metadata_name = f"{name}/{arrays.METADATA_NAME}"
        content = _read_file(root, metadata_name, self.location)
        if _sha256(content) != entry["metadata_digest"]:
            raise self._damaged(name, f"{arrays.METADATA_NAME} is not the one written")
        return arrays.open_described((root / f"{name}/").spec().to_json(), described)

    def _damaged(self, name: str, reason: str) -> errors.StoreError:
        return errors.StoreError(
            f"{self.location}: {name} is damaged: {reason}; convert the model again"
        )


def open_store(location: os.PathLike | str) -> Store:
    """Opens a store for reading: a local path, or a URL that tensorstore knows.

    Raises:
        StoreError: there is no store, or its manifest is damaged.
        FormatVersionError: it was written in another version of the format.
    """
    text = os.fspath(location)
    if "://" not in text:
        text = str(pathlib.Path(text).absolute())
    content = _read_file(_open_root(text), MANIFEST, text)
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise errors.StoreError(f"{text}: {MANIFEST} is damaged: {error}") from error
    _check_manifest(manifest, text)
    config = OPTConfig.from_json(manifest["config"])
    if manifest["arrays"].keys() != array_shapes(config).keys():
        raise errors.StoreError(f"{text}: {MANIFEST} does not list the model's arrays")
    return Store(text, config, manifest)


def is_store(path: os.PathLike | str) -> bool:
    """Whether there is a manifest of a store at a local path; URLs are taken to be stores."""
    text = os.fspath(path)
    return "://" in text or (pathlib.Path(text) / MANIFEST).is_file()


def _check_manifest(manifest: Any, location: str) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise errors.StoreError(f"{location}: {MANIFEST} is not that of a {FORMAT}")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise errors.FormatVersionError(
            f"{location}: the store has format version {version!r}, this code reads "
            f"version {FORMAT_VERSION}; convert the model again"
        )
    if manifest.keys() != MANIFEST_KEYS:
        odd = sorted(manifest.keys() ^ MANIFEST_KEYS)
        raise errors.StoreError(
            f"{location}: {MANIFEST}: unknown or missing keys {odd}"
        )
    if manifest != arrays.sealed(manifest):
        raise errors.StoreError(f"{location}: {MANIFEST} is damaged: checksum mismatch")


def _array_metadata(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * DTYPES[dtype].itemsize
    rows = min(shape[0], max(1, CHUNK_BYTES // row_bytes))
    return arrays.metadata(shape, dtype, (rows, *shape[1:]))


def _layer_name(layer: int) -> str:
    return f"layers/{layer:03d}"


def _open_root(location: str) -> ts.KvStore:
    if "://" not in location:
        return ts.KvStore.open(arrays.file_kvstore(pathlib.Path(location))).result()
    try:
        return ts.KvStore.open(location.rstrip("/") + "/").result()
    except ValueError as error:
        raise errors.StoreError(f"{location}: {error}") from error


def _read_file(root: ts.KvStore, name: str, location: str) -> bytes:
    try:
        result = root.read(name).result()
    except ValueError as error:
        reason = arrays.read_reason(error)
        raise errors.StoreError(f"{location}: cannot read {name}: {reason}") from error
    if result.state != "value":
        raise errors.StoreError(f"{location}: no {name}: not a store, or damaged")
    return result.value


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

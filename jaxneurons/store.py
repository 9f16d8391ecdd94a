"""The model on disk: a new store written array by array, and one opened to read layer by layer.

In: float arrays by name, as `array_shapes` lists them. Out: the same bits, or an error. A store is
written under a temporary name and renamed when whole. Whatever is read is checked: the manifest
against its own digest, each array's metadata and elements against the manifest.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import tensorstore as ts
from flax import traverse_util

from jaxneurons import arrays, errors, files, manifest, store_format
from jaxneurons.config import OPTConfig
from jaxneurons.store_format import DTYPES, FORMAT, MANIFEST, TOKENIZER, array_shapes


class Writer:
    """Fills a new store, array by array::

        with store.Writer(path, config) as writer:
            writer.write("embed/token_embedding", table)
            ...
            writer.publish(source={"path": "..."})

    Left by an exception, or without `publish`, it leaves nothing behind. Different arrays may be written at
    the same time, from several threads.

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
            with self._stack:
                raise errors.StoreError(f"{self._path}: left without `publish`")
        self._stack.__exit__(kind, error, traceback)

    def write(self, name: str, data: np.ndarray) -> None:
        """Writes one array; float16, bfloat16 or float32, of the shape that the config says."""
        self._check(name, data)
        described = store_format.array_metadata(data.shape, data.dtype.name)
        target = arrays.create(arrays.file_kvstore(self._partial / name), described)
        self._arrays[name] = {
            "shape": list(data.shape),
            "dtype": data.dtype.name,
            "digest": arrays.write(target, data),
            "metadata_digest": arrays.stored_metadata_digest(target),
        }

    def add_tokenizer(self, contents: Mapping[str, bytes]) -> None:
        """Carries tokenizer files along, by plain file name."""
        folder = self._partial / TOKENIZER
        with files.translated("write", folder):
            folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            store_format.check_file_name(name, str(self._path))
            files.write_atomically(folder / name, content)
            self._tokenizer[name] = _sha256(content)

    def publish(self, source: Mapping[str, Any]) -> None:
        """Writes the manifest; the store appears under its name when the `with` block ends."""
        missing = sorted(self._expected.keys() - self._arrays.keys())
        if missing:
            raise errors.StoreError(f"{self._path}: arrays never written: {missing}")
        entries = {
            "config": self._config.to_json(),
            "arrays": self._arrays,
            "tokenizer": self._tokenizer,
            "source": dict(source),
        }
        files.write_atomically(self._partial / MANIFEST, manifest.seal(FORMAT, entries))
        self._published = True

    def _check(self, name: str, data: np.ndarray) -> None:
        if name not in self._expected:
            raise errors.StoreError(f"{self._path}: the model has no array {name!r}")
        if name in self._arrays:
            raise errors.StoreError(f"{self._path}: {name} was written before")
        if data.shape != self._expected[name] or data.dtype not in DTYPES.values():
            raise errors.StoreError(
                f"{self._path}: {name} is {data.dtype}{list(data.shape)}, wanted "
                f"{list(self._expected[name])} of one of {list(DTYPES)}"
            )


@dataclasses.dataclass(frozen=True)
class Store:
    """A store to read from; made by `open_store`.

    Attributes:
        location: an absolute local path, or a URL that tensorstore knows.
        config: sizes and variant of the model.
        manifest: the entries of its manifest.
    """

    location: str
    config: OPTConfig
    manifest: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """Tells models apart: a digest of config, elements and tokenizer, not of where they came from."""
        elements = {
            name: [entry["dtype"], entry["digest"]]
            for name, entry in self.manifest["arrays"].items()
        }
        identity = [self.config.to_json(), elements, self.manifest["tokenizer"]]
        return _sha256(arrays.to_json_bytes(identity))

    @property
    def dtype(self) -> str:
        """The type of the token embedding, which in OPT's checkpoints is that of all arrays."""
        return self.manifest["arrays"]["embed/token_embedding"]["dtype"]

    def read_layer(self, layer: int) -> dict[str, Any]:
        """The parameters of one layer, nested as `Block` wants them.

        Raises:
            StoreError: an array is missing, damaged or not the one that was written.
            InputOutputError: the operating system refuses.
        """
        return self._read_group(store_format.layer_name(layer))

    def read_embed(self) -> dict[str, Any]:
        """The parameters outside the layers, nested as `embed` wants them; raises as `read_layer`."""
        return self._read_group("embed")

    def tokenizer_files(self) -> dict[str, bytes]:
        """Contents of the tokenizer's files by name; empty where the model came without."""
        root = _open_root(self.location)
        contents = {}
        for name, expected in self.manifest["tokenizer"].items():
            content = _read_file(root, f"{TOKENIZER}/{name}", self.location)
            if _sha256(content) != expected:
                raise errors.StoreError(
                    f"{self.location}: {TOKENIZER}/{name} is damaged: checksum mismatch"
                )
            contents[name] = content
        return contents

    def _read_group(self, group: str) -> dict[str, Any]:
        root = _open_root(self.location)
        names = [n for n in self.manifest["arrays"] if n.startswith(f"{group}/")]
        if not names:
            raise errors.StoreError(f"{self.location}: the model has no {group}")
        opened = {name: self._open_array(root, name) for name in names}
        # All are asked for before the first is waited for.
        pending = {name: array.read() for name, array in opened.items()}
        flat = {
            name.removeprefix(f"{group}/"): self._finished(name, future)
            for name, future in pending.items()
        }
        return traverse_util.unflatten_dict(flat, sep="/")

    def _open_array(self, root: ts.KvStore, name: str) -> ts.TensorStore:
        entry = self.manifest["arrays"][name]
        return arrays.open_checked(
            (root / f"{name}/").spec().to_json(),
            store_format.array_metadata(tuple(entry["shape"]), entry["dtype"]),
            entry["metadata_digest"],
            f"{self.location}: {name}",
            errors.StoreError,
        )

    def _finished(self, name: str, pending: ts.Future) -> np.ndarray:
        what = f"{self.location}: {name}"
        data = arrays.read(pending, what, errors.StoreError)
        if arrays.digest(data) != self.manifest["arrays"][name]["digest"]:
            raise errors.StoreError(f"{what} is damaged: not the elements written")
        return data


def open_store(location: os.PathLike | str) -> Store:
    """Opens a store for reading: a local path, or a URL that tensorstore knows.

    Raises:
        StoreError: there is no store, or its manifest is damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    text = os.fspath(location)
    if not _is_url(text):
        text = str(pathlib.Path(text).absolute())
    content = _read_file(_open_root(text), MANIFEST, text)
    where = f"{text}: {MANIFEST}"
    entries = manifest.unseal(FORMAT, content, where)
    return Store(text, store_format.check_manifest(entries, where), entries)


def is_store(path: os.PathLike | str) -> bool:
    """Whether there is a manifest of a store at a local path; URLs are taken to be stores."""
    text = os.fspath(path)
    return _is_url(text) or os.path.isfile(pathlib.Path(text) / MANIFEST)


def _is_url(location: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", location) is not None


def _open_root(location: str) -> ts.KvStore:
    url = location.rstrip("/") + "/"
    where = url if _is_url(url) else arrays.file_kvstore(pathlib.Path(location))
    try:
        return ts.KvStore.open(where).result()
    except ValueError as error:
        raise arrays.read_error(location, error, errors.StoreError) from error


def _read_file(root: ts.KvStore, name: str, location: str) -> bytes:
    what = f"{location}: {name}"
    try:
        result = root.read(name).result()
    except ValueError as error:
        raise arrays.read_error(what, error, errors.StoreError) from error
    if result.state != "value":
        raise errors.StoreError(f"{what} is missing: not a store, or damaged")
    return result.value


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

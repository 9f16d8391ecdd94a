"""A new layer store, written array by array, which is there when all of it is, manifest last.

In: float arrays by name, as `format.array_shapes` lists them, and a tokenizer. Out: a store that
`reading.open_store` opens.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import arrays, files, folders, manifest, places
from jaxneurons.disk.places import Place
from jaxneurons.store import format
from jaxneurons.store.format import DTYPES, FORMAT, MANIFEST, TOKENIZER, array_shapes


class Writer:
    """Fills a new store, array by array::

        with writing.Writer(path, config) as writer:
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

    def __init__(self, path: os.PathLike | str | Place, config: Config):
        place = places.parse(path)
        self._path = place if isinstance(place, Place) else place.absolute()
        self._config = config
        self._expected = array_shapes(config)
        self._arrays: dict[str, dict[str, Any]] = {}
        self._tokenizer: str | None = None
        self._published = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._partial = self._stack.enter_context(
            folders.filling(self._path, "a store")
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
        described = format.array_metadata(data.shape, data.dtype.name)
        target = arrays.create(arrays.kvstore(self._partial / name), described)
        self._arrays[name] = {
            "shape": list(data.shape),
            "dtype": data.dtype.name,
            "digest": arrays.write(target, data),
            "metadata_digest": arrays.stored_metadata_digest(target),
        }

    def add_tokenizer(self, content: bytes) -> None:
        """Carries the model's `tokenizer.json` along."""
        path = self._partial / TOKENIZER
        if isinstance(path, pathlib.Path):
            with files.translated("write", path):
                path.parent.mkdir(exist_ok=True)
        files.write_atomically(path, content)
        self._tokenizer = hashlib.sha256(content).hexdigest()

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
        sealed = manifest.seal(FORMAT, entries)
        folders.publish(self._partial / MANIFEST, sealed, "a store")
        self._published = True

    def _check(self, name: str, data: np.ndarray) -> None:
        if name not in self._expected:
            raise errors.StoreError(f"{self._path}: the model has no array {name!r}")
        if name in self._arrays:
            raise errors.StoreError(f"{self._path}: {name} was written before")
        if data.shape != self._expected[name] or data.dtype not in DTYPES.values():
            raise errors.StoreError(
                f"{self._path}: {name} is {data.dtype}{list(data.shape)}; expected "
                f"{list(self._expected[name])} of one of {', '.join(DTYPES)}"
            )

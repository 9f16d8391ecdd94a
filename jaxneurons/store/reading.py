"""The model on disk, opened to read layer by layer.

In: the path or URL of a store. Out: the bits that `writing.Writer` was given, or an error: the manifest is
checked against its own digest, and each array's metadata and elements against the manifest.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorstore as ts
from flax import traverse_util

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import arrays, manifest, places, requests, strict_json
from jaxneurons.disk.places import Place
from jaxneurons.store import format
from jaxneurons.store.format import FORMAT, MANIFEST, TOKENIZER

_PLACES = tuple(f"{scheme}://" for scheme in requests.DRIVERS)
# What else tensorstore reads.
_OTHERS = ("file://", "http://", "https://")


@dataclasses.dataclass(frozen=True)
class Store:
    """A store to read from; made by `open_store`.

    Attributes:
        location: an absolute local path, or a URL that tensorstore knows.
        config: sizes and variant of the model.
        manifest: the entries of its manifest.
    """

    location: str
    config: Config
    manifest: Mapping[str, Any] = dataclasses.field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """Tells models apart: a digest of config, elements and tokenizer, not of where they came from.

        It is the same whatever token is said to begin a document.
        """
        elements = {
            name: [entry["dtype"], entry["digest"]]
            for name, entry in self.manifest["arrays"].items()
        }
        identity = [self.manifest["config"], elements, self.manifest["tokenizer"]]
        return _sha256(strict_json.to_bytes(identity))

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
        return self._read_group(format.layer_name(layer))

    def read_embed(self) -> dict[str, Any]:
        """The parameters outside the layers, nested as `embed` wants them; raises as `read_layer`."""
        return self._read_group("embed")

    def read_tokenizer(self) -> bytes | None:
        """The model's `tokenizer.json`, as `text.tokenizer.Tokenizer` reads it; None where it has none.

        Raises:
            StoreError: the file is missing or damaged.
            InputOutputError: the operating system refuses.
        """
        expected = self.manifest["tokenizer"]
        if expected is None:
            return None
        content = _read_file(_open_root(self.location), TOKENIZER, self.location)
        if _sha256(content) != expected:
            raise errors.StoreError(
                f"{self.location}: {TOKENIZER} is damaged: checksum mismatch"
            )
        return content

    def _read_group(self, group: str) -> dict[str, Any]:
        root = _open_root(self.location)
        names = [n for n in self.manifest["arrays"] if n.startswith(f"{group}/")]
        if not names:
            raise errors.StoreError(f"{self.location}: the model has no {group}")
        opened = {name: self._open_array(root, name) for name in names}
        # All are asked for before the first is waited for.
        pending = {name: array.read() for name, array in opened.items()}
        flat = {
            name.removeprefix(f"{group}/"): self._finished(name, opened[name], future)
            for name, future in pending.items()
        }
        return traverse_util.unflatten_dict(flat, sep="/")

    def _open_array(self, root: ts.KvStore, name: str) -> ts.TensorStore:
        entry = self.manifest["arrays"][name]
        return arrays.open_checked(
            (root / f"{name}/").spec().to_json(),
            format.array_metadata(tuple(entry["shape"]), entry["dtype"]),
            entry["metadata_digest"],
            f"{self.location}: {name}",
            errors.StoreError,
        )

    def _finished(
        self, name: str, opened: ts.TensorStore, pending: ts.Future
    ) -> np.ndarray:
        what = f"{self.location}: {name}"
        data = arrays.read(opened, what, errors.StoreError, pending)
        if arrays.digest(data) != self.manifest["arrays"][name]["digest"]:
            raise errors.StoreError(f"{what} is damaged: not the elements written")
        return data


def open_store(location: os.PathLike | str | Place) -> Store:
    """Opens a store for reading: a local path, gs:// or s3://, or http:// and file:// URLs.

    Raises:
        UsageError: an address of another kind.
        StoreError: there is no store, or its manifest is damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system, or the object store, refuses.
    """
    text = str(location) if isinstance(location, Place) else os.fspath(location)
    if not _is_url(text):
        text = str(pathlib.Path(text).absolute())
    content = _read_file(_open_root(text), MANIFEST, text)
    where = f"{text}: {MANIFEST}"
    entries = manifest.unseal(FORMAT, content, where)
    for name in entries["arrays"]:
        format.check_name(name, where)
    return Store(text, Config.from_json(entries["config"]), entries)


def is_store(path: os.PathLike | str) -> bool:
    """Whether there is a manifest of a store at a local path; URLs are taken to be stores."""
    text = os.fspath(path)
    # A Hugging Face directory may hold a manifest of something else.
    return _is_url(text) or (
        os.path.isfile(pathlib.Path(text) / MANIFEST)
        and not os.path.exists(pathlib.Path(text) / "config.json")
    )


def _is_url(location: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", location) is not None


def _open_root(location: str) -> ts.KvStore:
    where: Any = location.rstrip("/") + "/"
    if not location.startswith(_OTHERS):
        where = arrays.kvstore(places.parse(location))
    try:
        return requests.opened(where)
    except ValueError as error:
        raise arrays.read_error(location, error, errors.StoreError) from error


def _read_file(root: ts.KvStore, name: str, location: str) -> bytes:
    what = f"{location}: {name}"
    try:
        result = requests.finished(root.read(name), root.spec().to_json(), location)
    except ValueError as error:
        raise arrays.read_error(what, error, errors.StoreError) from error
    if result.state != "value":
        bucket = ", or no such bucket" * location.startswith(_PLACES)
        raise errors.StoreError(f"{what} is missing: not a store, or damaged{bucket}")
    return result.value


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""Any way to name a model in, a layer store out: what is not one is converted once and kept.

A conversion is found again by the real paths, sizes and times of change of the files it came from, and by the
version of the store's format.
"""

import hashlib
import os
import pathlib

from convert import hub, opt
from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.store import format, reading

# Of files that a conversion depends on.
SUFFIXES = (".json", ".bin", ".safetensors", ".txt")


def open_model(
    name: str, cache_directory: pathlib.Path, revision: str | None = None
) -> tuple[str, reading.Store]:
    """Opens a layer store, or converts a Hugging Face model to one in the cache and opens that.

    Args:
        name: a store's path or URL, a Hugging Face directory, or an id on the hub.
        cache_directory: conversions are kept in its folder `stores`.
        revision: of a model on the hub.

    Returns:
        What to call the model, and its store.

    Raises:
        JaxneuronsError: as `hub.resolve`, `opt.convert` and `store.open_store` do.
    """
    title = name.rstrip("/").rsplit("/", 1)[-1]
    if reading.is_store(name):
        if revision is not None:
            raise errors.UsageError(f"{name} is a layer store: it has no revisions")
        return title, reading.open_store(name)
    directory = hub.resolve(name, revision)
    path = cache_directory / "stores" / f"{title}-{_fingerprint(directory)[:16]}"
    if not reading.is_store(path):
        try:
            opt.convert(directory, path, name=name)
        except errors.OutputExistsError:
            # Another process has just finished the same conversion.
            if not reading.is_store(path):
                raise
    return title, reading.open_store(path)


def _fingerprint(directory: pathlib.Path) -> str:
    identity: list[object] = [format.FORMAT.version]
    with files.translated("read", directory):
        for file in sorted(directory.iterdir()):
            # A link to what is not there yet is named when the model is converted.
            if file.suffix in SUFFIXES and file.exists():
                status = os.stat(file)
                real = str(file.resolve())
                identity.append((file.name, real, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(identity).encode()).hexdigest()

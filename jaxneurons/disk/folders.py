"""What is done alike with a folder on a disk and one in an object store."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from jaxneurons.disk import files, places
from jaxneurons.disk.places import Folder, Place


def find(folder: Folder, pattern: str) -> list[Folder]:
    """What is in a folder and fits a pattern of as many parts, sorted; nothing where there is no folder."""
    if not isinstance(folder, Place):
        return [*sorted(folder.glob(pattern))]
    depth = pattern.count("/") + 1
    found = {"/".join(key.split("/")[:depth]) for key in folder.files()}
    return [
        folder / name
        for name in sorted(found)
        if pathlib.PurePosixPath(name).match(pattern)
    ]


def remove(path: Folder) -> None:
    """Removes a file."""
    if isinstance(path, Place):
        path.remove()
    else:
        path.unlink()


def move(path: pathlib.Path, target: Folder) -> None:
    """Puts a whole file in place of one that may be there; its folder is made."""
    if isinstance(target, Place):
        target.write(files.read_file(path))
        path.unlink()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        files.sync_directory(target.parent)


def remove_tree(path: Folder) -> None:
    """Removes a folder, as far as the system lets it."""
    if isinstance(path, Place):
        path.remove_all()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def filling(path: Folder, what: str) -> Iterator[Folder]:
    """As `partial_directory`; a place in an object store is filled under its own name, and counts from `publish` on."""
    if isinstance(path, Place):
        files.refuse_existing(path, what)
        with places.filling(path):
            yield path
    else:
        with files.partial_directory(path, what) as partial:
            yield partial


def publish(path: Folder, data: bytes, what: str) -> None:
    """Writes the manifest of a directory that `partial_directory` gave, after all else.

    Raises:
        OutputExistsError: another process has filled a place in an object store meanwhile.
    """
    if not isinstance(path, Place):
        files.write_atomically(path, data)
    elif not places.publish(path, data):
        raise files.taken(path.parent, what)

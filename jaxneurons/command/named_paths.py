"""NAME=PATH of a command line in, names and paths out, though both may hold "="."""

import os
import pathlib
import re
from collections.abc import Iterable
from typing import TypeVar

from jaxneurons import errors
from jaxneurons.disk import places
from jaxneurons.disk.places import Folder
from jaxneurons.text import corpora, hub

Opened = TypeVar("Opened")


def studies(values: Iterable[str]) -> list[tuple[str, Folder]]:
    """Name and directory of each "DIR" or "NAME=DIR"; the name is "" where none is given.

    What exists as a whole is a directory without a name; DIR may be in an object store.

    Raises:
        UsageError: an address of another kind.
    """
    return [_study(value) for value in values]


def _study(value: str) -> tuple[str, Folder]:
    if named := re.match("([^/=]*)=([a-zA-Z0-9]+://.*)", value):
        return named[1], places.parse(named[2])
    if "://" in value:
        return "", places.parse(value)
    return _choose([("", value), *_splits(value)])


def by_name(opened: Iterable[tuple[str, Folder, Opened]]) -> dict[str, Opened]:
    """What was opened by its name, from the name, the path and that of each.

    Raises:
        UsageError: two have the same name.
    """
    found: dict[str, Opened] = {}
    for name, path, each in opened:
        if name in found:
            raise errors.UsageError(
                f"two studies have the name {name!r}. Give {path} another one, as NAME={path}."
            )
        found[name] = each
    return found


def sources(values: Iterable[str]) -> list[tuple[str, pathlib.Path | str]]:
    """Name and path, or address on the hub, of each "NAME=PATH", the text of a domain.

    Raises:
        UsageError: not of this form, an address of another kind, a name that cannot be shown, or one that is given
            twice.
        CorpusError: a path does not exist.
    """
    found: dict[str, pathlib.Path | str] = {}
    for value in values:
        name, _, address = value.partition("=")
        if name and hub.is_address(address):
            _keep(found, value, name, address)
            continue
        places.local(address)
        splits = [(name, path) for name, path in _splits(value) if name and path]
        if not splits:
            raise errors.UsageError(
                f"corpus {value!r} is not NAME=PATH. Give the text a name, as in NAME={value}."
            )
        name, path = _choose(splits)
        if not path.exists():
            raise errors.CorpusError(f"corpus {value!r}: {path} does not exist.")
        _keep(found, value, name, path)
    return list(found.items())


def _keep(
    found: dict[str, pathlib.Path | str],
    value: str,
    name: str,
    place: pathlib.Path | str,
) -> None:
    corpora.check_name(name, f"corpus {value!r}")
    if name in found:
        raise errors.UsageError(
            f"corpus {value!r}: there are two domains of the name {name!r}."
        )
    found[name] = place


def _splits(value: str) -> list[tuple[str, str]]:
    """What stands before and behind each "="."""
    places = [place for place, letter in enumerate(value) if letter == "="]
    return [(value[:place], value[place + 1 :]) for place in places]


def _choose(splits: list[tuple[str, str]]) -> tuple[str, pathlib.Path]:
    """The first split whose path exists; where none does, the first whose name can be one, if any."""
    exist = [split for split in splits if split[1] and os.path.exists(split[1])]
    named = [split for split in splits if split[0] and "/" not in split[0]]
    name, path = (exist or named or splits)[0]
    return name, pathlib.Path(path)

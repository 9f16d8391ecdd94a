"""A JSON file that lists domains in, their sources out: `paper_corpora.json` is one, for the text of the paper's §3.

    {"domains": [{"name": "wikipedia", "path": ["val.jsonl.zst", "test.jsonl.zst"], "key": "text",
                  "where": {"meta.pile_set_name": "Wikipedia (en)"}}]}

A relative path is relative to the file, `$NAME` in it is an environment variable, and it may be the
address of a dataset on the hub. `key`, `where` and `suffix` (a list such as [".py"]) may be left out.
The file may also be just the list.
"""

import os
import pathlib
import re
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import files, places, strict_json
from jaxneurons.text import hub
from jaxneurons.text.selection import Selection
from jaxneurons.text.sources import Source

_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "path": (str, list),
    "key": (str,),
    "where": (dict,),
    "suffix": (str, list),
}


def read(path: os.PathLike | str) -> list[tuple[str, Source]]:
    """Name and source of each domain of the file.

    Raises:
        UsageError: it is not of this form, or names a variable that is not set.
        CorpusError: it is not JSON, or a path does not exist.
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(path)
    with files.translated("read", path):
        content = path.read_bytes()
    value = strict_json.parse(content, str(path), errors.CorpusError)
    entries = value.get("domains") if isinstance(value, dict) else value
    if not isinstance(entries, list) or not entries:
        raise errors.UsageError(
            f'{path}: expected {{"domains": [...]}} with one object per domain'
        )
    found: dict[str, Source] = {}
    for index, entry in enumerate(entries):
        place = f"{path}: domain {index}"
        name, source = _source(entry, place, path.parent)
        if name in found:
            raise errors.UsageError(f"{place}: there are two of the name {name!r}.")
        found[name] = source
    return list(found.items())


def _source(entry: Any, place: str, folder: pathlib.Path) -> tuple[str, Source]:
    if (
        not isinstance(entry, dict)
        or not {"name", "path"} <= entry.keys() <= _KEYS.keys()
    ):
        raise errors.UsageError(
            f"{place}: expected an object with name and path, and perhaps key, where and suffix"
        )
    for key, kinds in _KEYS.items():
        if key in entry and not (isinstance(entry[key], kinds) and entry[key]):
            raise errors.UsageError(
                f"{place}: its {key} is {strict_json.short(entry[key])}, which means nothing there"
            )
    check_name(entry["name"], place)
    paths, suffixes = map(_listed, (entry["path"], entry.get("suffix", [])))
    return entry["name"], Source(
        tuple(_place(text, place, folder) for text in paths),
        Selection(entry.get("key"), entry.get("where", {})),
        tuple(suffixes),
    )


def check_name(name: str, place: str) -> None:
    """Raises UsageError for the name of a domain that cannot be shown."""
    if not isinstance(name, str) or not name:
        raise errors.UsageError(f"{place}: {name!r} is no name for a domain.")
    if "/" in name or not name.isprintable():
        raise errors.UsageError(
            f"{place}: the name holds '/' or a character that does not print."
        )


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _place(text: Any, place: str, folder: pathlib.Path) -> pathlib.Path | str:
    expanded = os.path.expandvars(str(text))
    if unset := re.search(r"\$\{?(\w+)", expanded):
        raise errors.UsageError(
            f"{place}: {text} names the variable {unset[1]}, which is not set. Set it to where your copy is."
        )
    if hub.is_address(expanded):
        return expanded
    path = folder / places.local(expanded).expanduser()
    if not path.exists():
        raise errors.CorpusError(f"{place}: {path} does not exist.")
    return path

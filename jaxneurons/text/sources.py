"""What a user names as the text of a domain in, and its documents out: files, a hub dataset or strings in memory.

A `Source` says where the text is and how it is read. `open_text` finds its files, or prepares to fetch
what has none, and gives a `Text`, whose documents come one at a time.
"""

import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.disk import places
from jaxneurons.text import documents, files, hub
from jaxneurons.text.documents import Document
from jaxneurons.text.left_out import LeftOut
from jaxneurons.text.selection import Passed, Selection


class Source(NamedTuple):
    """Where a domain's text is, and how it is read.

    Attributes:
        places: paths of files or directories, or addresses such as `hf://codeparrot/codeparrot-clean`,
            which are read one after the other; or strings in memory, each a document.
        selection: which field of a record holds its text, and which records count.
        suffixes: endings of the files that are read in a directory; none reads those of known formats.
    """

    places: tuple[pathlib.Path | str, ...] | Iterable[str]
    selection: Selection = Selection()
    suffixes: tuple[str, ...] = ()


class Text(NamedTuple):
    """The text of a domain, ready to be read.

    Attributes:
        title: what messages call it.
        read: gives its documents, and what is passed over, from the beginning.
        listed: its files, whose digests stand for it; a hub dataset and strings in memory have none.
        selection: which field of a record holds its text, and which records count.
        left_out: files that are not read.
    """

    title: str
    read: Callable[[], Iterator[Document | Passed]]
    listed: tuple[files.TextFile, ...]
    selection: Selection = Selection()
    left_out: tuple[LeftOut, ...] = ()


def make_source(
    given: Any, text_key: str | None = None, suffixes: Collection[str] = ()
) -> Source:
    """The source that a path, an address, an iterable of strings or a `Source` names.

    Args:
        given: one of these.
        text_key: of the field that holds the text, where `given` does not say.
        suffixes: endings of the files that are read in a directory, likewise.

    Raises:
        UsageError: an address of another kind than the hub's.
    """
    if isinstance(given, Source):
        return given
    dotted = tuple(s if s.startswith(".") else f".{s}" for s in suffixes)
    selection = Selection(text_key)
    if isinstance(given, str) and hub.is_address(given):
        return Source((given,), selection)
    if isinstance(given, str | os.PathLike):
        return Source((places.local(given),), selection, dotted)
    return Source(given, selection)


def asked(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What a name and a source per domain ask for, as JSON; of strings in memory only that they are such."""
    return {
        name: {
            "places": [str(place) for place in source.places]
            if isinstance(source.places, tuple)
            else "in memory",
            "selection": source.selection._asdict(),
            "suffixes": source.suffixes,
        }
        for name, source in ((name, make_source(each)) for name, each in given)
    }


def open_text(source: Source, name: str) -> Text:
    """Finds the files of a source, or prepares to fetch it.

    Args:
        source: where the text is.
        name: of the domain, which messages call strings in memory by.

    Raises:
        UsageError: an address means nothing, or it takes a package that is not installed.
        JaxneuronsError: as `files.list_files`.
    """
    if not isinstance(source.places, tuple):
        given, selection = source.places, source.selection
        return Text(name, lambda: _read_strings(given, name), (), selection)
    if any(isinstance(place, str) for place in source.places):
        return _open_hub(source)
    found = [
        files.list_files(pathlib.Path(path), source.suffixes) for path in source.places
    ]
    listed = tuple(file for listing in found for file in listing.files)
    more = f" and {len(listed) - 1} more files" if len(listed) > 1 else ""

    def read() -> Iterator[Document | Passed]:
        for file in listed:
            yield from documents.read_documents(file, source.selection)

    return Text(
        f"{listed[0].path}{more}",
        read,
        listed,
        source.selection,
        tuple(part for listing in found for part in listing.left_out),
    )


def _open_hub(source: Source) -> Text:
    addresses = [str(place) for place in source.places]
    if not all(map(hub.is_address, addresses)):
        raise errors.UsageError(
            f"{', '.join(addresses)}: a domain is either files or datasets of the hub. Make two of it."
        )
    chosen = [hub.parse(address) for address in addresses]

    def read() -> Iterator[Document | Passed]:
        for address in chosen:
            found = hub.read(address, source.selection.columns)
            yield from documents.of_records(found, source.selection, nullable=True)

    return Text(", ".join(addresses), read, (), source.selection)


def _read_strings(given: Iterable[str], name: str) -> Iterator[Document | Passed]:
    for index, text in enumerate(given):
        place = f"{name}[{index}]"
        if not isinstance(text, str):
            raise errors.CorpusError(
                f"{place}: expected a string, found {type(text).__name__}"
            )
        yield from documents.of_records([(place, text)], Selection())

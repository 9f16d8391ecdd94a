"""A path in, its text files out: which files a corpus has, in which order, and which are left out.

A corpus is a file, or a directory that is searched to the bottom. Files end in one of FORMATS, and
perhaps in `.gz` or `.zst` after it, or in a suffix that is asked for, as source files do.
"""

import contextlib
import hashlib
import os
import pathlib
import stat
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from jaxneurons import errors
from jaxneurons.text import left_out
from jaxneurons.text.left_out import LeftOut

FORMATS = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")
COMPRESSED = (".gz", ".zst")


class TextFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        name: relative to the corpus, its parts joined with "/".
        path: where it is.
        size: bytes as stored, when it was listed.
        times: when its bytes and its inode last changed, in nanoseconds, when it was listed. Tools
            that unpack or copy set the first to what it was; nobody sets the second.
    """

    name: str
    path: pathlib.Path
    size: int
    times: tuple[int, int]


class Listing(NamedTuple):
    """The text files at a path, ordered by name, and what is left out there."""

    files: tuple[TextFile, ...]
    left_out: tuple[LeftOut, ...] = ()


def format_of(name: str) -> str | None:
    """Which of FORMATS a file of this name has; None is another one."""
    stem = _uncompressed(name)
    return next((kind for kind in FORMATS if stem.endswith(kind)), None)


def list_files(path: pathlib.Path, suffixes: Collection[str] = ()) -> Listing:
    """Lists the text files at `path`.

    Args:
        path: a file or a directory, in which hidden files are left out.
        suffixes: endings of the files that are read in a directory, such as `.py`, each perhaps with
            `.gz` or `.zst` after it; none reads those of FORMATS.

    Raises:
        CorpusError: there is no text file; or most that is there is source code, so that what is
            read might be its licence alone; or a file or directory is met twice, as links that form
            a loop make it.
        InputOutputError: the operating system refuses.
    """
    suffixes = suffixes or FORMATS
    with reading(path):
        if not path.is_dir():
            if path.exists() and not (
                format_of(path.name) or _ends(path.name, suffixes)
            ):
                raise errors.CorpusError(
                    f"{path} is not named like a text file. Pass a directory, or a file that ends in"
                    f" {_alternatives(suffixes)}.",
                    left_out.remedy([path.name]),
                )
            return Listing((_text_file(path, path.parent),))
    others: list[str] = []
    listed = sorted(_walk(path, suffixes, others))
    others.sort()
    if suffixes == FORMATS:
        left_out.refuse_source_code(path, [file.name for file in listed], others)
    if not listed:
        raise errors.CorpusError(
            f"{path} has no text files. Add files that end in {_alternatives(suffixes)}.",
            left_out.remedy(others),
        )
    return Listing(tuple(listed), left_out.describe(others))


def refuse_repeated(domains: Iterable[tuple[Iterable[TextFile], object]]) -> None:
    """Raises CorpusError if two domains read the same of a file, under one name or two.

    Args:
        domains: the files of each, and what chooses the documents that it reads of them; nothing
            that is true reads all.
    """
    seen: dict[tuple[int, int], list[tuple[pathlib.Path, object]]] = {}
    for listed, chosen in domains:
        for file in listed:
            with reading(file.path):
                status = file.path.stat()
            before = seen.setdefault((status.st_dev, status.st_ino), [])
            for path, other in before:
                if not (chosen and other) or chosen == other:
                    raise _same(file.path, path)
            before.append((file.path, chosen))


def refuse_changed(listed: Iterable[TextFile]) -> None:
    """Raises CorpusError if a file is no longer what it was when it was listed."""
    for file in listed:
        with reading(file.path):
            status = os.stat(file.path)
        if (status.st_size, _times(status)) != (file.size, file.times):
            raise errors.CorpusError(
                f"{file.path} changed while it was read. Try again when it is complete."
            )


def digest_of(file: TextFile) -> str:
    """Returns the SHA-256 of the file's bytes as stored, compressed or not."""
    with reading(file.path), file.path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _uncompressed(name: str) -> str:
    stem = next((name.removesuffix(c) for c in COMPRESSED if name.endswith(c)), name)
    # It compresses what is in it.
    return name if stem.endswith(".parquet") else stem


def _ends(name: str, suffixes: Collection[str]) -> bool:
    endings = tuple(suffixes)
    return name.endswith(endings) or _uncompressed(name).endswith(endings)


def _alternatives(suffixes: Collection[str]) -> str:
    *others, last = suffixes
    named = f"{', '.join(others)} or {last}" if others else last
    return f"{named}, perhaps with {' or '.join(COMPRESSED)} after it"


def _walk(
    root: pathlib.Path, suffixes: Collection[str], others: list[str]
) -> Iterator[TextFile]:
    """Yields the text files below `root`, and adds the names of other files to `others`."""
    seen: dict[tuple[int, int], pathlib.Path] = {}
    folders = [root]
    while folders:
        folder = folders.pop()
        with reading(folder):
            _meet_once(folder, seen)
            entries = list(folder.iterdir())
        for entry in entries:
            with reading(entry):
                is_hidden = entry.name.startswith(".")
                if entry.is_dir() and not is_hidden:
                    folders.append(entry)
                elif _ends(entry.name, suffixes) and not is_hidden:
                    _meet_once(entry, seen)
                    yield _text_file(entry, root)
                else:
                    others.append(entry.relative_to(root).as_posix())


def _meet_once(path: pathlib.Path, seen: dict[tuple[int, int], pathlib.Path]) -> None:
    status = path.stat()
    identity = status.st_dev, status.st_ino
    if identity in seen:
        raise _same(path, seen[identity])
    seen[identity] = path


def _same(path: pathlib.Path, other: pathlib.Path) -> errors.CorpusError:
    return errors.CorpusError(
        f"{path} and {other} are the same. Every text may be given once."
    )


def _text_file(path: pathlib.Path, root: pathlib.Path) -> TextFile:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise errors.CorpusError(
            f"{path} is not a regular file. Save the text to a file first."
        )
    name = path.relative_to(root).as_posix()
    return TextFile(name, path, status.st_size, _times(status))


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Translates what the operating system says about `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.CorpusError(f"{path}: no such file or directory") from error
    except OSError as error:
        raise errors.InputOutputError(
            f"cannot read {path}: {error.strerror}"
        ) from error

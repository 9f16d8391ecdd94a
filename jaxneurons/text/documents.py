"""A text file in, its documents out, one at a time: the only reader of text.

The name of a file says its format: `.txt` and source code are one document each, `.jsonl`, `.json`,
`.csv`, `.tsv` and `.parquet` hold records (see `records` and `selection`). The size of a document,
which is that of its line in a `.jsonl` file, is limited: this bounds the memory that reading and
tokenizing take. Every error names `file:line`, or the row group and row, the same whether the file is
compressed or not.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jaxneurons import errors
from jaxneurons.text import compression, files, parquet, records, selection
from jaxneurons.text.selection import Passed, Selection

# Bytes. To tokenize that much at once takes up to 2.6 GB and 19 s (OPT, any script, 2 cores).
DOCUMENT_LIMIT = 16 * 2**20
_TABLES = (".csv", ".tsv", ".parquet")


class Document(NamedTuple):
    """A document: where it begins, as `file:line`, and its text or its ready tokens."""

    place: str
    content: str | list[int]

    @property
    def size(self) -> int:
        """Bytes of its text in UTF-8; ready tokens have none."""
        return len(self.content.encode()) if isinstance(self.content, str) else 0


def read_documents(
    file: files.TextFile,
    selected: Selection = Selection(),  # noqa: B008  it is frozen
    limit: int = DOCUMENT_LIMIT,
    piece_bytes: int = compression.PIECE_BYTES,
) -> Iterator[Document | Passed]:
    """Yields the documents of one file in order, and what is passed over.

    Args:
        file: as `files.list_files` lists it.
        selected: which field of a record holds its text, and which records count.
        limit: the most bytes that a document may have.
        piece_bytes: the most bytes that are read at a time.

    Raises:
        CorpusError: the file is empty or damaged, or contains something that is not a document.
        UsageError: its format takes a package that is not installed.
        InputOutputError: the operating system refuses.
    """
    is_empty = True
    found = _records(file, selected, limit, piece_bytes)
    nullable = files.format_of(file.name) in _TABLES
    for document in of_records(found, selected, nullable, limit):
        is_empty = False
        yield document
    if is_empty:
        raise errors.CorpusError(
            f"{file.path} has no document ({file.size} bytes as stored)."
            " Remove the file or put text into it."
        )


def of_records(
    found: Iterable[records.Record],
    selected: Selection,
    nullable: bool = False,
    limit: int = DOCUMENT_LIMIT,
) -> Iterator[Document | Passed]:
    """Yields the documents of records, each with its place; raises as `read_documents`."""
    for place, record in found:
        content = selection.choose(record, selected, place, nullable)
        if isinstance(content, Passed):
            yield content
            continue
        document = Document(place, content)
        records.check_size(document.size, place, limit)
        yield document


def _records(
    file: files.TextFile, selected: Selection, limit: int, piece_bytes: int
) -> Iterator[records.Record]:
    kind = files.format_of(file.name)
    if kind == ".parquet":
        with files.reading(file.path):
            yield from parquet.read_parquet(file.path, selected.columns)
        return
    pieces = compression.read_pieces(file.path, piece_bytes)
    match kind:
        case ".jsonl":
            yield from records.read_json_lines(pieces, file.path, limit)
        case ".json":
            yield from records.read_json(pieces, file.path, limit)
        case ".csv" | ".tsv":
            delimiter = "\t" if kind == ".tsv" else ","
            yield from records.read_table(pieces, file.path, limit, delimiter)
        case _:
            yield from records.read_plain(pieces, file.path, limit)

"""A text file in, its documents out, one at a time: the only reader of text.

A `.txt` file is one document. A `.jsonl` file has one per line, `{"text": "..."}` or ready
`{"tokens": [5, ...]}`; other keys are ignored and blank lines are skipped. All text is UTF-8. A
byte order mark at the start of a file is not part of its text, and U+0000 is refused, since a file
that contains it is not text. The size of a document, which is that of its line in a `.jsonl` file,
is limited: this bounds the memory that reading and tokenizing take. Every error names `file:line`,
the same whether the file is compressed or not.
"""

import codecs
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.disk import strict_json
from jaxneurons.text import files

# Bytes. To tokenize that much at once takes up to 2.6 GB and 19 s (OPT, any script, 2 cores).
DOCUMENT_LIMIT = 16 * 2**20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Document(NamedTuple):
    """A document: where it begins, as `file:line`, and its text or its ready tokens."""

    place: str
    content: str | list[int]


def read_documents(
    file: files.TextFile,
    limit: int = DOCUMENT_LIMIT,
    piece_bytes: int = files.PIECE_BYTES,
) -> Iterator[Document]:
    """Yields the documents of one file in order.

    Args:
        file: as `files.list_files` lists it.
        limit: the most bytes that a document may have.
        piece_bytes: the most bytes that are read at a time.

    Raises:
        CorpusError: the file is empty or damaged, or contains something that is not a document.
        InputOutputError: the operating system refuses.
    """
    pieces = files.read_pieces(file.path, piece_bytes)
    is_plain = file.name.endswith((".txt", ".txt.gz"))
    read = _read_plain if is_plain else _read_records
    is_empty = True
    for document in read(pieces, file.path, limit):
        is_empty = False
        yield document
    if is_empty:
        raise errors.CorpusError(
            f"{file.path} has no document ({file.size} bytes as stored)."
            " Remove the file or put text into it."
        )


def _read_plain(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[Document]:
    data = bytearray()
    for piece in pieces:
        data += piece
        _check_size(data, f"{path}:1", limit)
    if text := _decode(data.removeprefix(codecs.BOM_UTF8), path, 1):
        yield Document(f"{path}:1", text)


def _read_records(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[Document]:
    for number, data in _read_lines(pieces, path, limit):
        line = _decode(data, path, number)
        if line and not line.isspace():
            yield Document(f"{path}:{number}", _parse(line, f"{path}:{number}"))


def _read_lines(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[tuple[int, bytearray]]:
    """Yields lines, numbered from 1, without their line feeds."""
    number = 1
    line = bytearray()
    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line += end
            _check_size(line, f"{path}:{number}", limit)
            yield number, _without_mark(line, number)
            number += 1
            line = bytearray()
        line += rest
        _check_size(line, f"{path}:{number}", limit)
    yield number, _without_mark(line, number)


def _without_mark(line: bytearray, number: int) -> bytearray:
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _check_size(data: bytearray, place: str, limit: int) -> None:
    if len(data) > limit:
        raise errors.CorpusError(
            f"{place}: this document has more than {limit} bytes."
            " Split it into several, as lines of a .jsonl file."
        )


def _decode(data: bytearray, path: pathlib.Path, line: int) -> str:
    """Returns the text of `data`, which begins on this line of the file."""
    try:
        zero = data.find(b"\0")
        if zero >= 0:
            raise UnicodeDecodeError("utf-8", data, zero, zero + 1, "not text")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if line == 1 and data.startswith(_UTF16_MARKS):
            raise errors.CorpusError(
                f"{path} is UTF-16 text. Convert it to UTF-8."
            ) from error
        line += data.count(b"\n", 0, error.start)
        raise errors.CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8"
            f" ({error.reason}). Convert the file to UTF-8."
        ) from error


def _parse(line: str, place: str) -> str | list[int]:
    """Returns the text or the ready tokens of one line of JSON."""
    record = strict_json.parse_object(line, place, errors.CorpusError)
    match [key for key in ("text", "tokens") if key in record]:
        case ["text"]:
            return _check_text(record["text"], place)
        case ["tokens"]:
            return _check_tokens(record["tokens"], place)
        case both_or_none:
            given = "both" if both_or_none else "neither"
            raise errors.CorpusError(
                f'{place}: an object needs either "text" or "tokens", this has {given}'
            )


def _check_text(text: Any, place: str) -> str:
    if not isinstance(text, str):
        raise errors.CorpusError(
            f'{place}: expected a string as "text", found {strict_json.kind(text)}'
        )
    if "\0" in text:
        raise errors.CorpusError(f"{place}: the text contains U+0000. Remove it.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise errors.CorpusError(
            f"{place}: the text contains U+{ord(text[error.start]):04X}, half of a"
            " surrogate pair. Write whole characters."
        ) from error
    return text


def _check_tokens(tokens: Any, place: str) -> list[int]:
    if not isinstance(tokens, list):
        raise errors.CorpusError(
            f'{place}: expected a list as "tokens", found {strict_json.kind(tokens)}'
        )
    for index, token in enumerate(tokens):
        if type(token) is not int:
            raise errors.CorpusError(
                f"{place}: expected an integer as tokens[{index}], found {strict_json.kind(token)}"
            )
    return tokens

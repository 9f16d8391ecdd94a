"""A text file in, its documents out, one at a time: the only reader of text.

`.txt` holds one document; `.jsonl` holds one a line, `{"text": "..."}` or ready
`{"tokens": [5, ...]}` beside any other keys; blank lines are no documents. All text is
UTF-8. A byte order mark at the start of a file is not part of its text; U+0000 is refused,
since it means that the file is something else than text. A document, which is a line of
`.jsonl`, has at most `DOCUMENT_LIMIT` bytes: that bounds the memory that reading takes.
Every fault names `file:line`, the same whether the file is compressed or not.
"""

import codecs
import collections
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.text import inputs

# Tokenizing that much at once takes up to 2.6 GB and 19 s (OPT, any script, 2 cores).
DOCUMENT_LIMIT = 16 * 2**20


class Document(NamedTuple):
    """A document: where it begins, as `file:line`, and its text or its ready tokens."""

    place: str
    content: str | list[int]


def read_documents(file: inputs.TextFile) -> Iterator[Document]:
    """Yields the documents of one file in order.

    Raises:
        CorpusError: the file is empty, damaged, or holds something else than documents.
    """
    is_plain = file.name.endswith((".txt", ".txt.gz"))
    documents = _read_plain(file.path) if is_plain else _read_records(file.path)
    is_empty = True
    for document in documents:
        is_empty = False
        yield document
    if is_empty:
        raise errors.CorpusError(
            f"{file.path}: empty, wanted at least one document"
            f" (the file has {file.size} bytes as stored)"
        )


def _read_plain(path: pathlib.Path) -> Iterator[Document]:
    data = bytearray()
    for chunk in inputs.read_chunks(path):
        data += chunk
        _check_size(data, f"{path}:1")
    if text := _decode(data.removeprefix(codecs.BOM_UTF8), path, 1):
        yield Document(f"{path}:1", text)


def _read_records(path: pathlib.Path) -> Iterator[Document]:
    for number, data in _read_lines(path):
        line = _decode(data, path, number)
        if not line.isspace() and line:
            yield Document(f"{path}:{number}", _parse(line, f"{path}:{number}"))


def _read_lines(path: pathlib.Path) -> Iterator[tuple[int, bytearray]]:
    """Yields (number from 1, line without its line feed)."""
    number = 1
    line = bytearray()
    for chunk in inputs.read_chunks(path):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line += end
            _check_size(line, f"{path}:{number}")
            yield number, _without_mark(line, number)
            number += 1
            line = bytearray()
        line += rest
        _check_size(line, f"{path}:{number}")
    yield number, _without_mark(line, number)


def _without_mark(line: bytearray, number: int) -> bytearray:
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _check_size(data: bytearray, place: str) -> None:
    if len(data) > DOCUMENT_LIMIT:
        raise errors.CorpusError(
            f"{place}: a document of more than {DOCUMENT_LIMIT} bytes;"
            " wanted shorter documents, as lines of a .jsonl file"
        )


def _decode(data: bytearray, path: pathlib.Path, line: int) -> str:
    """Returns the text of `data`, which begins on this line of the file."""
    try:
        zero = data.find(b"\0")
        if zero >= 0:
            raise UnicodeDecodeError("utf-8", data, zero, zero + 1, "no text has it")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise errors.CorpusError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text:"
            f" {error.reason}"
        ) from error


def _parse(line: str, place: str) -> str | list[int]:
    """Returns the text or the ready tokens of one JSON line."""
    record = _load_json(line, place)
    if not isinstance(record, dict):
        raise errors.CorpusError(
            f"{place}: JSON of type {type(record).__name__}, wanted an object"
        )
    match [key for key in ("text", "tokens") if key in record]:
        case ["text"]:
            return _check_text(record["text"], place)
        case ["tokens"]:
            return _check_tokens(record["tokens"], place)
        case both_or_none:
            given = "both" if both_or_none else "neither"
            raise errors.CorpusError(
                f'{place}: an object with {given} of "text" and "tokens", wanted one'
            )


def _load_json(line: str, place: str) -> Any:
    try:
        return json.loads(
            line, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise errors.CorpusError(
            f"{place}: not JSON: {error.msg} at column {error.colno}"
        ) from error
    except RecursionError as error:
        raise errors.CorpusError(f"{place}: JSON is nested too deeply") from error
    except ValueError as error:  # The hooks below, and integers of too many digits.
        raise errors.CorpusError(f"{place}: not JSON to trust: {error}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = collections.Counter(key for key, _ in pairs)
        raise ValueError(f"key {keys.most_common(1)[0][0]!r:.80} occurs twice")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_text(text: Any, place: str) -> str:
    if not isinstance(text, str):
        raise errors.CorpusError(
            f"{place}: text is of type {type(text).__name__}, wanted a string"
        )
    if "\0" in text:
        raise errors.CorpusError(f"{place}: text holds U+0000, wanted text without")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise errors.CorpusError(
            f"{place}: text holds U+{ord(text[error.start]):04X},"
            " half of a surrogate pair, wanted whole characters"
        ) from error
    return text


def _check_tokens(tokens: Any, place: str) -> list[int]:
    if not isinstance(tokens, list):
        raise errors.CorpusError(
            f"{place}: tokens is of type {type(tokens).__name__}, wanted a list"
        )
    wrong = _first(
        index for index, token in enumerate(tokens) if type(token) is not int
    )
    if wrong is not None:
        raise errors.CorpusError(
            f"{place}: tokens[{wrong}] is of type {type(tokens[wrong]).__name__},"
            " wanted an integer"
        )
    return tokens


def _first(indices: Iterable[int]) -> int | None:
    return next(iter(indices), None)

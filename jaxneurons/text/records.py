"""Bytes of a text file in, its records out, each with its place as `file:line`: what a format is.

A record is a string, which is a document as it stands, or an object. Plain text is one string; JSON
Lines have an object per line; a `.json` file is an array of objects or strings, or JSON Lines under
another name; `.csv` and `.tsv` files have a header and an object per row. All text is UTF-8. A byte
order mark at the start of a file is not part of its text, and U+0000 is refused, since a file that
contains it is not text.
"""

import codecs
import csv
import itertools
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import strict_json

Record = tuple[str, Any]

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What decides where an element of an array ends, inside a string and outside.
_INSIDE = re.compile(rb'"|\\.?', re.DOTALL)
_OUTSIDE = re.compile(rb'["\[\]{},]')


def read_plain(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[Record]:
    """The whole file as one string."""
    data = bytearray()
    for piece in pieces:
        data += piece
        check_size(len(data), f"{path}:1", limit)
    if text := _decode(data.removeprefix(codecs.BOM_UTF8), path, 1):
        yield f"{path}:1", text


def read_json_lines(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[Record]:
    """One object per line; blank lines are skipped."""
    for number, data in _read_lines(pieces, path, limit):
        line = _decode(data, path, number)
        if line and not line.isspace():
            place = f"{path}:{number}"
            yield place, strict_json.parse_object(line, place, errors.CorpusError)


def read_json(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int
) -> Iterator[Record]:
    """The elements of an array; what does not begin as one is JSON Lines."""
    start = b""
    while not (begun := start.removeprefix(codecs.BOM_UTF8).lstrip()):
        check_size(len(start), f"{path}:1", limit)
        if not (piece := next(pieces, b"")):
            break
        start += piece
    if not begun.startswith(b"["):
        yield from read_json_lines(itertools.chain([start], pieces), path, limit)
        return
    line = 1 + start.partition(b"[")[0].count(b"\n")
    inside = itertools.chain([begun[1:]], pieces)
    for number, data in _split_array(inside, path, limit, line):
        text = _decode(data, path, number)
        # An element may begin on a later line.
        number += text[: len(text) - len(text.lstrip())].count("\n")
        place = f"{path}:{number}"
        yield place, strict_json.parse(text.strip(), place, errors.CorpusError)


def read_table(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int, delimiter: str
) -> Iterator[Record]:
    """One object per row, whose values are strings, by the names in the header."""
    csv.field_size_limit(max(limit, csv.field_size_limit()))
    start, size = 1, 0

    def lines() -> Iterator[str]:
        nonlocal size
        for number, data in _read_lines(pieces, path, limit):
            size += len(data) + 1
            # The line feed at the end of a file ends no row.
            check_size(size - 1, f"{path}:{start}", limit)
            yield _decode(data, path, number) + "\n"

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for row in rows:
            place = f"{path}:{start}"
            start, size = rows.line_num + 1, 0
            if not header:
                header = row
                _check_header(header, place)
            elif row:
                if len(row) != len(header):
                    raise errors.CorpusError(
                        f"{place}: this row has {len(row)} fields, and the header {len(header)}."
                        " Quote fields that contain the delimiter or a line feed."
                    )
                yield place, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise errors.CorpusError(
            f"{path}:{start}: not a valid row: {error}. Write the file again, with fields quoted."
        ) from error


def _check_header(header: list[str], place: str) -> None:
    if repeated := {name for name in header if header.count(name) > 1}:
        raise errors.CorpusError(
            f"{place}: the header names {strict_json.short(min(repeated))} twice. Rename a column."
        )


def _split_array(
    pieces: Iterator[bytes], path: pathlib.Path, limit: int, line: int
) -> Iterator[tuple[int, bytearray]]:
    """Yields the elements of a JSON array, each after the line where the one before ends; `[` was on `line`."""
    element, torn = bytearray(), b""
    count = depth = 0
    in_string = has_ended = False
    for piece in pieces:
        piece, torn, first, place = torn + piece, b"", 0, 0
        while match := (_INSIDE if in_string else _OUTSIDE).search(piece, place):
            place, sign = match.end(), match.group()
            if sign == b"\\":
                # What it escapes is in the next piece.
                piece, torn = piece[: match.start()], sign
                break
            if sign == b'"':
                in_string = not in_string
            elif sign in b"[{":
                depth += 1
            elif depth and sign in b"]},":
                depth -= sign != b","
            elif sign in b",]" and not has_ended:
                element += piece[first : match.start()]
                check_size(len(element), f"{path}:{line}", limit)
                if sign == b"," or count or element.strip():
                    yield line, element
                line, first = line + element.count(b"\n"), place
                element, count, has_ended = bytearray(), count + 1, sign == b"]"
        element += piece[first:]
        check_size(len(element), f"{path}:{line}", limit)
    if not has_ended or element.strip():
        problem = "something stands behind" if has_ended else "the file ends inside"
        raise errors.CorpusError(
            f"{path}:{line}: {problem} the array, after {count} documents."
            " Copy or download the file again."
        )


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
            check_size(len(line), f"{path}:{number}", limit)
            yield number, _without_mark(line, number)
            number += 1
            line = bytearray()
        line += rest
        check_size(len(line), f"{path}:{number}", limit)
    yield number, _without_mark(line, number)


def _without_mark(line: bytearray, number: int) -> bytearray:
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def check_size(size: int, place: str, limit: int) -> None:
    if size > limit:
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

"""The one reader and the one writer of JSON.

In: bytes or text that others may have written. Out: Python values that mean one thing only, or one
error that says where. Python's own parser keeps the last of two equal keys, takes NaN for a number,
and gives up on long integers and deep nesting with errors of several kinds.
"""

import collections
import json
import math
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.disk.places import Folder

# The largest configuration or index, that of a 66b model, has 0.1 MiB.
MAX_BYTES = 8 * 2**20


def read_object(path: Folder, error_type: type[errors.BadDataError]) -> dict[str, Any]:
    """The object in a file of at most `MAX_BYTES`; raises as `parse_object`, and InputOutputError."""
    with files.translated("read", path), files.reading(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise error_type(f"{path}: JSON of more than {MAX_BYTES} bytes")
    return parse_object(content, str(path), error_type)


def parse_object(
    content: bytes | str, where: str, error_type: type[errors.BadDataError]
) -> dict[str, Any]:
    """The object in `content`; raises as `parse`, and where it is no object."""
    value = parse(content, where, error_type)
    if not isinstance(value, dict):
        raise error_type(f"{where}: expected a JSON object, found {kind(value)}")
    return value


def parse(
    content: bytes | str, where: str, error_type: type[errors.BadDataError]
) -> Any:
    """The value in `content`; a byte order mark before it is passed over in bytes, not in text.

    Raises:
        error_type: it is not JSON in UTF-8, contains a key twice, a number that is not finite or
            an integer of thousands of digits, or is nested too deeply; its message begins with
            `where`.
    """
    text = _text(content, where, error_type)
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_number, parse_float=_number
        )
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise error_type(
            f"{where}: not valid JSON: {error.msg} at {line}column {error.colno}"
        ) from error
    except RecursionError as error:
        raise error_type(f"{where}: JSON is nested too deeply") from error
    except ValueError as error:
        reason = _with_key(text, error)
        raise error_type(f"{where}: not valid JSON: {reason}") from error


def kind(value: Any) -> str:
    """What JSON calls the type of a value, with an article."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def short(value: Any) -> str:
    """The beginning of a value as JSON writes it, for messages."""
    return json.dumps(value)[:100]


def to_bytes(value: Any) -> bytes:
    """The value as JSON with sorted keys, the same bytes for equal values; NaN raises ValueError."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def to_line(record: Mapping[str, Any]) -> bytes:
    """The record as one line of a .jsonl file, its keys in their order; NaN raises ValueError."""
    return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _text(
    content: bytes | str, where: str, error_type: type[errors.BadDataError]
) -> str:
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise error_type(
            f"{where}: not UTF-8 at byte {error.start}. JSON is text in UTF-8."
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        [(key, _)] = collections.Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {short(key)} appears twice")
    return result


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _with_key(text: str, error: ValueError) -> str:
    """What is wrong with a number, after the key that it belongs to, which takes a slow parser to know."""

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, value in pairs:
            for element in value if isinstance(value, list) else [value]:
                if isinstance(element, ValueError):
                    raise ValueError(f"{short(key)}: {element}")  # noqa: TRY004  its value is wrong
        return _object(pairs)

    def number(digits: str) -> float | ValueError:
        try:
            return _number(digits)
        except ValueError as refusal:
            return refusal

    def integer(digits: str) -> int | ValueError:
        try:
            return int(digits)
        except ValueError:
            return ValueError(f"an integer of {len(digits)} digits is too long")

    try:
        json.loads(
            text,
            object_pairs_hook=named,
            parse_constant=number,
            parse_float=number,
            parse_int=integer,
        )
    except ValueError as known:
        return str(known)
    return str(error)

"""JSON files that others wrote, read so that they mean one thing only.

In: the bytes of a config, an index or a header. Out: a Python object, or one error that names the
file and, where there is one, the attribute. Python's own parser keeps the last of two equal keys,
takes NaN for a number and gives up on long integers and deep nesting with errors of four kinds.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.disk import files

# The largest of these files, the index of a 66b model, has 0.1 MiB.
MAX_BYTES = 8 * 2**20
MAX_INTEGER_DIGITS = 30


class _Refused(NamedTuple):
    """Stands for a value until the key that it belongs to is known."""

    reason: str


def read_object(
    path: pathlib.Path, error_type: type[errors.BadDataError]
) -> dict[str, Any]:
    """The JSON object in a file; raises as `parse_object`, and InputOutputError."""
    with files.translated("read", path), open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    return parse_object(content, str(path), error_type)


def parse_object(
    content: bytes, where: str, error_type: type[errors.BadDataError]
) -> dict[str, Any]:
    """The JSON object in `content`.

    Raises:
        error_type: it is not one object in UTF-8, holds a key twice, a number that is not finite
            or too long, or is too large or too deeply nested; the message starts with `where`.
    """
    if len(content) > MAX_BYTES:
        raise error_type(f"{where}: JSON of more than {MAX_BYTES} bytes")
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=lambda text: _Refused(f"is {text}, wanted a finite number"),
            parse_float=_float,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise error_type(
            f"{where}: not UTF-8 at byte {error.start}, wanted JSON"
        ) from error
    except RecursionError as error:
        raise error_type(f"{where}: JSON nested too deeply") from error
    except ValueError as error:
        raise error_type(f"{where}: not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise error_type(f"{where}: JSON {_kind(value)}, wanted an object")
    return value


def to_line(record: Mapping[str, Any]) -> bytes:
    """The record's line of a .jsonl file: JSON and a line feed."""
    return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {_short(key)} appears twice")
        reason = _refusal(value)
        if reason:
            raise ValueError(f"{_short(key)} {reason}")
        result[key] = value
    return result


def _refusal(value: Any) -> str | None:
    if isinstance(value, _Refused):
        return value.reason
    if isinstance(value, list):
        return next(filter(None, map(_refusal, value)), None)
    return None


def _integer(text: str) -> int | _Refused:
    if len(text) > MAX_INTEGER_DIGITS:
        return _Refused(f"is an integer of {len(text)} characters")
    return int(text)


def _float(text: str) -> float | _Refused:
    value = float(text)
    if not math.isfinite(value):
        return _Refused(f"is {text[:20]}, wanted a finite number")
    return value


def _short(key: str) -> str:
    return json.dumps(key)[:100]


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")

"""A record in, its text or ready tokens out, or that it is not of the domain: which field holds the text, and which records count.

A field is named by its key, or by keys joined with dots where it is inside another: `meta.pile_set_name`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.disk import strict_json

# Why a record is passed over.
NOT_CHOSEN = "they are not of this domain"
NO_TEXT = "their text is null"
PASSED = (NOT_CHOSEN, NO_TEXT)
_ABSENT = object()
_SHOWN_KEYS = 10


class Selection(NamedTuple):
    """What of a record is read.

    Attributes:
        key: of the field that holds the text; None is `text`, or `tokens` for ready tokens.
        where: the value that a field must have, or a list of such values, by its key; records that
            differ are passed over.
    """

    key: str | None = None
    where: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return " and ".join(
            f"{key} = {strict_json.short(value)}" for key, value in self.where.items()
        )

    @property
    def columns(self) -> set[str] | None:
        """Keys of all fields that may be read; None where only the records tell."""
        return None if self.key is None else {self.key, *self.where}


class Passed(NamedTuple):
    """A record that is passed over, and why: one of PASSED."""

    why: str


def choose(
    record: Any, selection: Selection, place: str, nullable: bool = False
) -> str | list[int] | Passed:
    """The text or the ready tokens of a record.

    Args:
        record: an object, or a string, which is the text itself.
        selection: what of it is read.
        place: for messages.
        nullable: whether text may be null, as in tables; such a record is passed over.

    Raises:
        CorpusError: it is neither, has no such field, or its text cannot be text.
    """
    if isinstance(record, str):
        if selection.where:
            raise errors.CorpusError(
                f"{place}: plain text has no fields, so none can be compared with {selection}."
            )
        return check_text(record, selection.key or "text", place)
    if not isinstance(record, dict):
        raise errors.CorpusError(
            f"{place}: expected a JSON object, found {strict_json.kind(record)}"
        )
    if not all(_matches(record, key, value) for key, value in selection.where.items()):
        return Passed(NOT_CHOSEN)
    key = _text_key(record, place) if selection.key is None else selection.key
    value = find(record, key)
    if value is _ABSENT:
        raise errors.CorpusError(
            f"{place}: there is no {strict_json.short(key)}. {_keys(record)}"
        )
    if value is None and nullable:
        return Passed(NO_TEXT)
    if selection.key is None and key == "tokens":
        return _check_tokens(value, place)
    return check_text(value, key, place)


def find(record: Mapping[str, Any], key: str) -> Any:
    """The field of a key, or of keys joined with dots; `_ABSENT` where there is none."""
    if key in record:
        return record[key]
    first, dot, rest = key.partition(".")
    inner = record.get(first)
    return find(inner, rest) if dot and isinstance(inner, dict) else _ABSENT


def _matches(record: Mapping[str, Any], key: str, wanted: Any) -> bool:
    found = find(record, key)
    return found in wanted if isinstance(wanted, list) else found == wanted


def _text_key(record: Mapping[str, Any], place: str) -> str:
    match [key for key in ("text", "tokens") if key in record]:
        case [key]:
            return key
        case both_or_none:
            given = "both" if both_or_none else "neither"
            raise errors.CorpusError(
                f'{place}: an object needs either "text" or "tokens", this has {given}. {_keys(record)}'
            )


def _keys(record: Mapping[str, Any]) -> str:
    keys = ", ".join(strict_json.short(key)[:20] for key in [*record][:_SHOWN_KEYS])
    return f"Name the field that holds the text. There are: {keys}."


def check_text(text: Any, key: str, place: str) -> str:
    """The text, if it is one; raises CorpusError."""
    if not isinstance(text, str):
        raise errors.CorpusError(
            f'{place}: expected a string as "{key}", found {strict_json.kind(text)}'
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

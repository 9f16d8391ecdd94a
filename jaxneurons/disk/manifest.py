"""A JSON file of facts that carries its own digest: entries in, sealed bytes out, and back, checked.

A store's manifest.json and a study's study.json are such files. The digest covers every byte, so
that a file which differs from what was written in any of them is refused, not interpreted.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.disk import files, strict_json
from jaxneurons.disk.places import Folder, Place

DIGEST = "digest"


class Format(NamedTuple):
    """A kind of manifest.

    Attributes:
        name: what its entry `format` says.
        version: what its entry `format_version` says.
        error: what to raise for a damaged one.
        remedy: what to do about one of another version.
    """

    name: str
    version: int
    error: type[errors.BadDataError]
    remedy: str


def seal(kind: Format, entries: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest: format, version, entries and a digest of them all."""
    covered = {"format": kind.name, "format_version": kind.version, **entries}
    digest = hashlib.sha256(strict_json.to_bytes(covered)).hexdigest()
    return strict_json.to_bytes(covered | {DIGEST: digest})


def unseal(kind: Format, content: bytes, where: str) -> dict[str, Any]:
    """The entries that `seal` was given.

    Args:
        kind: what the manifest is to be.
        content: its bytes.
        where: its path, for messages.

    Raises:
        FormatVersionError: it is sealed in another version of the format.
        BadDataError: of the kind's type, for anything else that `seal` did not write.
    """
    entries = strict_json.parse_object(content, f"{where} is damaged", kind.error)
    if entries.get("format") != kind.name:
        raise kind.error(f"{where} does not describe a {kind.name}")
    version = entries.get("format_version")
    if version != kind.version:
        raise errors.FormatVersionError(
            f"{where} has format version {version!r:.80}, this code reads version "
            f"{kind.version}; {kind.remedy}"
        )
    for name in ("format", "format_version", DIGEST):
        entries.pop(name, None)
    if not _is_seal_of(kind, entries, content):
        raise kind.error(f"{where} is damaged: checksum mismatch")
    return entries


def read(kind: Format, path: Folder, absent: str) -> dict[str, Any]:
    """The entries of the manifest in a file; raises as `unseal`, and InputOutputError.

    Args:
        kind: what the manifest is to be.
        path: of the file.
        absent: what the error says where there is no such file.
    """
    try:
        content = files.read_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        bucket = " There may be no such bucket." * isinstance(path, Place)
        raise kind.error(absent + bucket) from error
    except OSError as error:
        raise files.io_error("read", path, error) from error
    return unseal(kind, content, str(path))


def differences(
    key: str,
    there: Any,
    here: Any,
    phrase: str = "{key} was {there!r} and is now {here!r}",
) -> list[str]:
    """All that differs below a key, dotted, "" for the top, between two JSON values, each as a phrase."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            difference
            for name in sorted(there.keys() | here.keys())
            for difference in differences(
                f"{key}.{name}".lstrip("."), there.get(name), here.get(name), phrase
            )
        ]
    if there == here:
        return []
    return [phrase.format(key=key, there=there, here=here)]


def _is_seal_of(kind: Format, entries: Mapping[str, Any], content: bytes) -> bool:
    try:
        return seal(kind, entries) == content
    except (ValueError, RecursionError):
        # What JSON cannot hold (NaN), or nests deeper than anything we write.
        return False

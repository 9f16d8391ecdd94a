"""Folders and files in an object store, gs://bucket/path and s3://bucket/path, through tensorstore.

In: a path as text. Out: a local path, or a `Place`, which is read and written a whole file at a time.
An object store has neither renames nor locks: a folder is whole when its manifest, written last, is
there; until then it holds `MARKER`, by which the next run knows that what is there is ours to
replace. Credentials come from the environment, as tensorstore reads it.
"""

import contextlib
import dataclasses
import errno
import functools
import os
import pathlib
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jaxneurons import errors
from jaxneurons.disk import requests

if TYPE_CHECKING:
    # Imported where it is used: every command imports this module, and few need an object store.
    import tensorstore as ts

MARKER = ".jaxneurons-partial"
# A folder that has one is whole, or a study that can be resumed.
MANIFESTS = {"manifest.json", "study.json"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder or file in an object store; made by `parse`.

    All methods raise InputOutputError where the store refuses, has no such bucket or does not answer.

    Attributes:
        url: its address, without a slash at the end.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Place":
        return Place(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "Place":
        """The folder that it is in."""
        return Place(self.url.rpartition("/")[0])

    @property
    def kvstore(self) -> dict[str, Any]:
        """The tensorstore key-value store of the folder."""
        scheme, _, rest = self.url.partition("://")
        bucket, _, path = rest.partition("/")
        spec: dict[str, Any] = {"driver": requests.DRIVERS[scheme], "bucket": bucket}
        variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        if scheme == "s3" and (endpoint := _first_set(*variables)):
            region = _first_set("AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1"
            spec |= {"endpoint": endpoint.rstrip("/"), "aws_region": region}
        return spec | {"path": f"{path}/" if path else ""}

    def read(self) -> bytes:
        """The content of a file; raises FileNotFoundError where there is none."""
        found = self._do("read", "read", self.name)
        if found.state != "value":
            # Some stores say only here that there is no bucket.
            self._do("read", "list", _range(self.name, f"{self.name}\0"))
            reason = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, reason, self.url)
        return found.value

    def write(self, data: bytes) -> None:
        """Puts a file in place of one that may be there."""
        self._do("write", "write", self.name, data)

    def replace(self, former: bytes | None, data: bytes) -> bool:
        """Puts a file in place of a known one, or where None is, and gives whether it did.

        Of two processes at the same instant one does, if the store honours conditions.
        """
        found = self._do("read", "read", self.name)
        if (found.value if found.state == "value" else None) != former:
            return False
        condition = found.stamp.generation
        done = self._do("write", "write", self.name, data, if_equal=condition)
        # The store may have done it, and its answer been lost.
        return bool(done.generation) or self.read() == data

    def remove(self) -> None:
        """Removes a file, if it is there."""
        self._do("write", "write", self.name, None)

    def files(self) -> list[str]:
        """The paths in a folder of all files below it, sorted."""
        found = (self / "")._do("read", "list")
        return sorted(key.decode(errors="replace") for key in found)

    def remove_all(self, but: str = "") -> None:
        """Removes all files below a folder, or all but one."""
        for first, last in (("", but), (f"{but}\0", "")) if but else (("", ""),):
            (self / "")._do("write", "delete_range", _range(first, last))

    def is_free(self) -> bool:
        """Whether a folder holds nothing, or only what a killed run left."""
        keys = self.files()
        return not keys or (MARKER in keys and not MANIFESTS & set(keys))

    def _do(self, action: str, request: str, *arguments: Any, **how: Any) -> Any:
        """The result of a request to the key-value store of the folder that this file is in."""
        folder = self.parent.kvstore
        try:
            future = getattr(requests.opened(folder), request)(*arguments, **how)
            return requests.finished(future, folder, self.url)
        except ValueError as error:
            reason = requests.first_line(error)
            if reason.startswith("NOT_FOUND"):
                reason = "there is no such bucket"
            raise errors.InputOutputError(
                f"cannot {action} {self}: {reason}"
            ) from error


Folder = pathlib.Path | Place


def parse(path: os.PathLike | str | Place) -> Folder:
    """A local path, or a place in an object store.

    Raises:
        UsageError: an address of another kind, or one that names no folder in a bucket.
    """
    if isinstance(path, Place):
        return path
    text = os.fspath(path)
    url = _URL.match(text)
    if url is None:
        return pathlib.Path(path)
    if url[1] not in requests.DRIVERS:
        raise errors.UsageError(
            f"{text}: {url[1]}:// is not supported. Pass a local path, gs://BUCKET/PATH or s3://BUCKET/PATH."
        )
    parts = url[2].rstrip("/").split("/")
    if len(parts) < 2 or {"", ".", ".."} & set(parts) or not text.isprintable():
        raise errors.UsageError(
            f"{text!r} names no folder in a bucket. Pass {url[1]}://BUCKET/PATH."
        )
    return Place(text.rstrip("/"))


def local(path: os.PathLike | str) -> pathlib.Path:
    """A local path; raises UsageError for an address of any kind."""
    if _URL.match(os.fspath(path)):
        raise errors.UsageError(
            f"{path} is not a local path. Pass one: only stores and studies can be elsewhere."
        )
    return pathlib.Path(path)


@contextlib.contextmanager
def filling(place: Place) -> Iterator[None]:
    """Replaces what a killed run left; what the block writes counts from `publish` on, and goes if it fails."""
    marker = place / MARKER
    marker.write(_token())
    place.remove_all(but=MARKER)
    try:
        yield
    except errors.InputOutputError:
        # The store may not answer; what is there is marked.
        raise
    except BaseException:
        with contextlib.suppress(errors.InputOutputError):
            if _is_ours(place):
                place.remove_all()
        raise
    marker.remove()


def publish(manifest: Place, data: bytes) -> bool:
    """Writes the manifest of a folder that `filling` fills.

    Gives whether it did: another process may have taken the folder over, or may have filled it.
    """
    return _is_ours(manifest.parent) and manifest.replace(None, data)


def _is_ours(place: Place) -> bool:
    try:
        return (place / MARKER).read() == _token()
    except FileNotFoundError:
        return False


@functools.cache
def _token() -> bytes:
    """What this process marks folders with."""
    return secrets.token_hex(16).encode()


def _range(first: str, last: str) -> "ts.KvStore.KeyRange":
    import tensorstore as ts

    return ts.KvStore.KeyRange(first, last)


def _first_set(*variables: str) -> str | None:
    return next((os.environ[name] for name in variables if os.environ.get(name)), None)

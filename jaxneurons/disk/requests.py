"""Requests to an object store: whose credentials, how long to wait, and what it says.

In: a key-value store as tensorstore describes it, and a request under way. Out: its result, or one
error where the store does not answer. tensorstore itself would try for many minutes, in silence.
"""

import contextlib
import functools
import logging
import os
import re
from typing import TYPE_CHECKING, Any

from jaxneurons import errors

if TYPE_CHECKING:
    # Imported where it is used: every command imports this module, and few need an object store.
    import tensorstore as ts

DRIVERS = {"gs": "gcs", "s3": "s3"}
# How many seconds a store may be silent; a command's flag sets it.
VARIABLE = "JAXNEURONS_REMOTE_SECONDS"
SECONDS = 60.0
# After so many a request is taken to be slow, and after so many more without any answer we say so.
_SLOW, _SILENT = 3.0, 1.0
# What is asked for to see whether there is any answer; it need not exist.
_ASKED = ".jaxneurons-partial"
_logger = logging.getLogger(__name__)


def opened(kvstore: Any) -> "ts.KvStore":
    """The key-value store of a spec, or of a URL that tensorstore knows; raises ValueError."""
    import tensorstore as ts

    return ts.KvStore.open(kvstore, context=context()).result()


def context() -> "ts.Context":
    """What all requests share: connections and credentials."""
    return _context("AWS_ACCESS_KEY_ID" in os.environ)


def finished(future: "ts.Future", kvstore: dict[str, Any], where: str) -> Any:
    """The result of a request, however long it takes while the store still answers; raises what it raises.

    Raises:
        InputOutputError: the object store has not answered for the seconds of `VARIABLE`.
    """
    if kvstore["driver"] not in DRIVERS.values():
        return future.result()
    while True:
        try:
            return future.result(timeout=_SLOW)
        except TimeoutError:
            _require_answer(kvstore, where)


def first_line(error: ValueError) -> str:
    """What tensorstore says, without its details."""
    line = str(error).strip().splitlines()[0]
    return re.split(r" \[(?:tensorstore_spec|http_|x-amzn)", line)[0][:300]


def _require_answer(kvstore: dict[str, Any], where: str) -> None:
    asked, limit = opened(kvstore).read(_ASKED), patience()
    try:
        with contextlib.suppress(ValueError):
            asked.result(timeout=min(_SILENT, limit))
            return
    except TimeoutError:
        _logger.warning("%s does not answer; giving up after %g s", where, limit)
    try:
        with contextlib.suppress(ValueError):
            asked.result(timeout=limit)
    except TimeoutError:
        raise errors.InputOutputError(
            f"{where} has not answered for {limit:g} s. Check the address, the network and the credentials, or set "
            f"{VARIABLE} to wait longer.",
            {"remote_seconds": f"{10 * limit:g}"},
        ) from None


def patience() -> float:
    text = os.environ.get(VARIABLE) or SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise errors.UsageError(f"{VARIABLE} is {text!r}. Set it to seconds.")
    return seconds


@functools.cache
def _context(keys_given: bool) -> "ts.Context":
    import tensorstore as ts

    # The default looks for files first, and complains on standard error where there are none.
    kind = "environment" if keys_given else "default"
    return ts.Context({"aws_credentials": {"type": kind}})

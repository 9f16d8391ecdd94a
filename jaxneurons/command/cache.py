"""The environment in, a directory out: where things that can be made again are kept."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

from jaxneurons import errors

VARIABLE = "JAXNEURONS_CACHE"


def directory(given: str | None = None) -> pathlib.Path:
    """Returns `given`, else $JAXNEURONS_CACHE, else $XDG_CACHE_HOME/jaxneurons, else ~/.cache/jaxneurons.

    What is empty counts as not set. The directory need not exist.

    Raises:
        UsageError: nothing is set, and no home directory is known.
    """
    try:
        if own := given or os.environ.get(VARIABLE):
            return pathlib.Path(own).expanduser()
        if shared := os.environ.get("XDG_CACHE_HOME"):
            return pathlib.Path(shared).expanduser() / "jaxneurons"
        return pathlib.Path.home() / ".cache" / "jaxneurons"
    except RuntimeError:
        raise errors.UsageError(
            f"there is no home directory to cache in. Set {VARIABLE} to another directory."
        ) from None


@contextlib.contextmanager
def needed(cache_directory: pathlib.Path) -> Iterator[None]:
    """Adds what to do to an error of the block that is about the cache."""
    try:
        yield
    except errors.InputOutputError as error:
        # As a path of its own: a short one is a part of many a message.
        place = rf"(?<![\w./-]){re.escape(str(cache_directory))}(?![\w.-])"
        if not re.search(place, str(error)):
            raise
        raise errors.InputOutputError(
            f"{error}. Set {VARIABLE} or pass --cache to use another directory."
        ) from error

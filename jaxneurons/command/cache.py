"""The environment in, a directory out: where things that can be made again are kept."""

import os
import pathlib


def default_cache_directory() -> pathlib.Path:
    """Returns $JAXNEURONS_CACHE, else $XDG_CACHE_HOME/jaxneurons, else ~/.cache/jaxneurons.

    An empty variable counts as unset. The directory need not exist.
    """
    if own := os.environ.get("JAXNEURONS_CACHE"):
        return pathlib.Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(shared) / "jaxneurons"
    return pathlib.Path.home() / ".cache" / "jaxneurons"

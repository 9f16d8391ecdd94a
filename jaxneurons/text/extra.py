"""Packages that only some formats of text need: the extra `text`."""

import importlib
from typing import Any

from jaxneurons import errors

PACKAGES = ("zstandard", "pyarrow", "datasets")


def load(module: str, purpose: str) -> Any:
    """The module of a package of the extra, which `purpose` takes.

    Raises:
        UsageError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise errors.UsageError(
            f"{purpose}: reading it takes {package}, which cannot be imported ({error}). Install it by"
            " pip install 'jaxneurons[text]', or pip install -e '.[text]' in a checkout."
        ) from error

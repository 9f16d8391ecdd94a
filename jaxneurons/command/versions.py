"""Which versions of packages are installed, for what a result says of its making: names in, versions out."""

import importlib.metadata
from collections.abc import Iterable


def find(packages: Iterable[str]) -> dict[str, str | None]:
    """The version of each package; None for one that is not installed, as a checkout on the path is not."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

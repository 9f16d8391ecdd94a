"""JAX's start, which the environment can spoil, with the cache of compiled programs."""

import os
import pathlib

from jaxneurons import errors
from jaxneurons.command import compilation_cache


def start(compiled: str | None, cache_directory: pathlib.Path) -> None:
    """Finds JAX's devices and has it keep what it compiles; raises as `find_devices`.

    Args:
        compiled: the flag of `compilation_cache.enable`.
        cache_directory: the cache.
    """
    find_devices()
    compilation_cache.enable(compiled, cache_directory)


def find_devices() -> None:
    """Imports JAX and lets it find its devices.

    Raises:
        UsageError: the environment asks for devices that are not here, or has settings that JAX refuses.
    """
    try:
        import jax

        jax.local_devices()
    except (
        Exception
    ) as error:  # Of any type: ValueError, RuntimeError and AssertionError were seen.
        reason = " ".join(str(error).split()).rstrip(".") or "there is no such device"
        given = [
            f"{name}={value}"
            for name, value in os.environ.items()
            if name.startswith("JAX_")
        ]
        settings = f" with {' '.join(given)}" if given else ""
        raise errors.UsageError(
            f"JAX cannot start{settings}: {reason}. Change or unset these variables, or install what the "
            "device needs (for an NVIDIA GPU, the extra cuda12 or cuda13)."
        ) from error

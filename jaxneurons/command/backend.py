"""JAX's start, which the environment can spoil, with the cache of compiled programs and, if asked for, other processes."""

import os
import pathlib
import re
import subprocess
import sys

from jaxneurons import errors
from jaxneurons.command import compilation_cache, distributed, script


def start(
    compiled: str | None, cache_directory: pathlib.Path, several: bool = False
) -> None:
    """Finds JAX's devices and has it keep what it compiles; raises as `find_devices`.

    Args:
        compiled: the flag of `compilation_cache.enable`.
        cache_directory: the cache.
        several: whether this is one of several processes; raises as `distributed.start`.
    """
    if several:
        _check_xla_flags()
        distributed.start(script.command_to_resume())
    find_devices()
    compilation_cache.enable(compiled, cache_directory)


def find_devices() -> None:
    """Imports JAX and lets it find its devices.

    Raises:
        UsageError: the environment asks for devices that are not here, or has settings that JAX refuses.
    """
    _check_xla_flags()
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


def _check_xla_flags() -> None:
    """Raises UsageError for flags that XLA does not know: it would end this process, after pages of text."""
    if not (given := os.environ.get("XLA_FLAGS")):
        return
    reads_flags = "from jaxlib import xla_client; xla_client.CompileOptions()"
    tried = subprocess.run(
        [sys.executable, "-c", reads_flags], capture_output=True, text=True, check=False
    )
    # Before what XLA says stand time, process and source.
    if tried.returncode and (said := re.match(r"[EF]\d{4} .*?\] (.+)", tried.stderr)):
        raise errors.UsageError(
            f"JAX cannot start with XLA_FLAGS={given}: {said[1].rstrip('.')}. Change or unset this variable."
        )

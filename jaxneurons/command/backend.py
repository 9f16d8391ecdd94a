"""JAX's start, which the environment can spoil, with the cache of compiled programs and, if asked for, other processes."""

import os
import pathlib
import re
import subprocess
import sys

from jaxneurons import errors
from jaxneurons.command import compilation_cache, distributed, script

GPU_SHARE = ".92"


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
    """Imports JAX and lets it find its devices, and asks for more of a GPU's memory than JAX does by itself.

    Raises:
        UsageError: the environment asks for devices that are not here, or has settings that JAX refuses.
    """
    _check_xla_flags()
    ask_for_memory()
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


def ask_for_memory() -> None:
    """Sets what JAX reads when it starts, unless the environment has settings of its own.

    The share of a GPU's memory, of which JAX takes 75 % by itself, and the most of the machine's that may be pinned
    for it, by itself 64 GB.
    """
    if "XLA_CLIENT_MEM_FRACTION" not in os.environ:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", GPU_SHARE)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    os.environ.setdefault("XLA_PJRT_GPU_HOST_MEMORY_LIMIT_GB", str(physical >> 30))


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

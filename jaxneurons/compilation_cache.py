"""Compiled programs kept from run to run: the cache's place in, JAX's persistent compilation cache set up; and its flag.

XLA compiles for the very instructions of a processor, and one home directory can serve machines that
differ in theirs, so each kind of processor has a folder of its own.
"""

import hashlib
import os
import pathlib
import platform
import re

import jax
from absl import flags

from jaxneurons import files

_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Where compiled programs are kept, so that the next run begins sooner; none: nowhere; "
    "default: $JAX_COMPILATION_CACHE_DIR, else `compiled` in the cache.",
)
VARIABLE = "JAX_COMPILATION_CACHE_DIR"
# What compiles faster than this, in seconds, is not worth a file.
LEAST_SECONDS = 0.1


def enable(cache_directory: pathlib.Path) -> None:
    """Has JAX keep what it compiles in `cache_directory`, or where the flag or JAX's own variable says.

    A damaged entry is compiled anew, with a warning of JAX's.

    Raises:
        InputOutputError: the directory cannot be made.
    """
    wanted = _COMPILATION_CACHE.value
    if wanted == "none" or (wanted is None and os.environ.get(VARIABLE)):
        return
    directory = pathlib.Path(wanted or cache_directory / "compiled") / _processor()
    try:
        # For nobody else: who writes there has his programs run here.
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise files.io_error("write", directory, error) from error
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)


def _processor() -> str:
    """A name for the instructions that this machine's processor knows."""
    information = pathlib.Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else platform.processor()
    # "flags" on x86, "Features" on ARM.
    known = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    instructions = sorted(known[1].split()) if known else [text]
    digest = hashlib.sha256(" ".join(instructions).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"

"""Compiled programs kept from run to run: the cache's place in, JAX's persistent compilation cache set up; and its flag.

XLA compiles for the very instructions of a processor, and one home directory can serve machines that
differ in theirs, so each kind of processor has a folder of its own.
"""

import contextlib
import functools
import glob
import hashlib
import logging
import os
import pathlib
import platform
import re
import warnings
from collections.abc import Callable
from typing import Any

import jax
from absl import flags

from jaxneurons.disk import files

_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Where compiled programs are kept, so that the next run begins sooner; none: nowhere; "
    "default: $JAX_COMPILATION_CACHE_DIR, else `compiled` in the cache.",
)
VARIABLE = "JAX_COMPILATION_CACHE_DIR"
# What compiles faster than this, in seconds, is not worth a file.
LEAST_SECONDS = 0.1
_UNWRITTEN = "Error writing persistent compilation cache entry for '(.*?)': (.*)"
_UNREADABLE = "Error reading persistent compilation cache entry for '(.*?)': (.*)"
_logger = logging.getLogger(__name__)


def enable(cache_directory: pathlib.Path) -> None:
    """Has JAX keep what it compiles in `cache_directory`, or where the flag or JAX's own variable says.

    A damaged entry is compiled and written anew, and on a full disk nothing more is kept: a line says so.

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
    warnings.showwarning = functools.partial(_show, warnings.showwarning, directory)


def _show(
    show: Callable[..., None],
    directory: pathlib.Path,
    message: Warning | str,
    *where: Any,
    **more: Any,
) -> None:
    """Shows a warning, those of JAX about the cache as one line each kind."""
    text = " ".join(str(message).split())
    if problem := re.fullmatch(_UNWRITTEN, text):
        # The next programs would say the same.
        warnings.filterwarnings("ignore", _UNWRITTEN)
        _logger.warning("%s: compiled programs are not kept: %s", directory, problem[2])
    elif problem := re.fullmatch(_UNREADABLE, text):
        # JAX never writes over an entry.
        with contextlib.suppress(OSError):
            for entry in directory.glob(f"{glob.escape(problem[1])}-*"):
                entry.unlink()
        _logger.warning("%s: %s is compiled anew: %s", directory, *problem.groups())
    else:
        show(message, *where, **more)


def _processor() -> str:
    """A name for the instructions that this machine's processor knows."""
    information = pathlib.Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else platform.processor()
    # "flags" on x86, "Features" on ARM.
    known = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    instructions = sorted(known[1].split()) if known else [text]
    digest = hashlib.sha256(" ".join(instructions).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"

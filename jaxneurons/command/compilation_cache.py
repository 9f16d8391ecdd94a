"""Compiled programs kept from run to run: a directory in, JAX's persistent compilation cache set up.

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
from typing import Any

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
SECONDS_VARIABLE = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
# What compiles faster than this, in seconds, is not worth a file.
LEAST_SECONDS = 0.1
_PROBLEM = (
    "Error (writing|reading) persistent compilation cache entry for '(.*?)': (.*)"
)
_logger = logging.getLogger(__name__)


def enable(given: str | None, cache_directory: pathlib.Path) -> None:
    """Makes JAX keep what it compiles, where JAX's own variable says if `given` does not.

    Whatever goes wrong with the directory is one line, and the run goes on: a damaged entry is compiled
    and written again, and nothing more is kept where nothing can be written.

    Args:
        given: the directory, or "none" to keep nothing; None is that of the variable, else
            `compiled` in the cache.
        cache_directory: the cache.
    """
    if given == "none":
        return
    named = os.environ.get(VARIABLE)
    if given or not named:
        directory = pathlib.Path(given or cache_directory / "compiled") / processor()
        try:
            # For nobody else: who can write there has programs run here.
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            _not_kept(directory, error.strerror)
            return
        import jax

        jax.config.update("jax_compilation_cache_dir", str(directory))
        if SECONDS_VARIABLE not in os.environ:
            jax.config.update(SECONDS_VARIABLE.lower(), LEAST_SECONDS)
    else:
        directory = pathlib.Path(named)
    warnings.showwarning = functools.partial(_show, directory)


def _show(
    directory: pathlib.Path, message: Warning | str, *where: Any, **more: Any
) -> None:
    """Takes the place of `warnings.showwarning`: a warning is one line in the log."""
    del where, more
    text = " ".join(str(message).split())
    problem = re.fullmatch(_PROBLEM, text)
    if problem is None:
        _logger.warning("%s", text)
    elif problem[1] == "writing":
        # The next programs would say the same.
        warnings.filterwarnings("ignore", "Error writing persistent compilation")
        _not_kept(directory, problem[3])
    else:
        # JAX never writes over an entry.
        with contextlib.suppress(OSError):
            for entry in directory.glob(f"{glob.escape(problem[2])}-*"):
                entry.unlink()
        _logger.warning(
            "%s: %s is compiled again: %s", directory, *problem.groups()[1:]
        )


def _not_kept(directory: pathlib.Path, reason: str | None) -> None:
    _logger.warning("%s: compiled programs are not kept: %s", directory, reason)


def processor() -> str:
    """A name for the instructions that this machine's processor knows."""
    information = pathlib.Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else platform.processor()
    # "flags" on x86, "Features" on ARM.
    known = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    instructions = sorted(known[1].split()) if known else [text]
    digest = hashlib.sha256(" ".join(instructions).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"

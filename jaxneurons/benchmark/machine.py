"""Where and with what a benchmark was run, as JSON values."""

import os
import pathlib
import platform
import re
from typing import Any

from jaxneurons.command import versions

PACKAGES = (
    "jaxneurons",
    "jax",
    "jaxlib",
    "flax",
    "numpy",
    "torch",
    "transformers",
    "transformer_lens",
)


def describe() -> dict[str, Any]:
    """Processor, cores, memory, load and versions; None for a package that is not installed."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions.find(PACKAGES),
    }


def load_average() -> float:
    """Processes that wanted to run, on average over the last minute: more than ours means noise."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    information = pathlib.Path("/proc/cpuinfo")
    if information.is_file():
        found = re.search(
            r"^model name\s*: (.*)$", information.read_text(), re.MULTILINE
        )
        if found:
            return found[1]
    return platform.processor()

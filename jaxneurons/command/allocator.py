"""The C library's memory allocator, told to keep freed memory for the next use.

XLA allocates its temporaries anew at every call, and glibc gives blocks of their size back to the system
as soon as they are freed. Every call then waits for the kernel to find and clear the same tens of thousands of pages.
"""

import ctypes
import os
import pathlib

# Option numbers of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
# Where the drivers of NVIDIA's and AMD's GPUs and of TPUs show devices.
_ACCELERATORS = ("nvidia[0-9]*", "kfd", "accel*")
# Most temporaries of a batch are smaller, and the tensors of large models larger.
LARGEST_KEPT = 2**27
MOST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory for reuse, and tells whether it does.

    It does with glibc from 2.35 on (an older one refuses), unless the environment has settings of its own:
    `MALLOC_*`, or `glibc.malloc.*` in `GLIBC_TUNABLES`. Freed blocks of less than `LARGEST_KEPT` bytes are
    then kept, up to `MOST_KEPT` bytes at the end of the heap; larger ones are given back at once. Where a CPU
    computes all threads share one heap, so that one can use what another freed; beside an accelerator, threads that
    move data must not wait for each other. Call it before threads start: one that already has a heap of its own stays
    with that.
    """
    own = any(name.startswith("MALLOC_") for name in os.environ)
    if own or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = {
        _MMAP_THRESHOLD: LARGEST_KEPT,
        _TRIM_THRESHOLD: MOST_KEPT,
    }
    if _cpu_computes():
        options[_ARENA_MAX] = 1
    return all(mallopt(option, value) for option, value in options.items())


def _cpu_computes() -> bool:
    """Whether JAX, which has not started yet, will compute on the CPU."""
    chosen = os.environ.get("JAX_PLATFORMS")
    if chosen:
        return chosen.split(",")[0] == "cpu"
    devices = pathlib.Path("/dev")
    return not any(any(devices.glob(pattern)) for pattern in _ACCELERATORS)

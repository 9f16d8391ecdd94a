"""The C library's memory allocator, told to keep what is freed for the next use.

XLA allocates its temporaries anew at every call, and glibc gives blocks of their size back to the system
as soon as they are freed. Every call then waits for the kernel to find and clear the same tens of thousands of pages again.
"""

import ctypes
import os

# Of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
# Most temporaries of a batch are smaller, and the tensors of large models larger.
LARGEST_KEPT = 2**27
MOST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory for reuse, and tells whether it does.

    It does with glibc from 2.35 on (an older one refuses), unless the environment has settings of its own:
    `MALLOC_*`, or `glibc.malloc.*` in `GLIBC_TUNABLES`. Blocks of less than `LARGEST_KEPT` bytes are then kept
    when they are freed, and given back to the system only from the end of the heap, beyond `MOST_KEPT` bytes;
    larger ones go back at once. All threads share one heap, so that what one frees another uses. Call it
    early: a thread that has already got a heap of its own goes on with that.
    """
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {
        _MMAP_THRESHOLD: LARGEST_KEPT,
        _TRIM_THRESHOLD: MOST_KEPT,
        _ARENA_MAX: 1,
    }
    return all(mallopt(option, value) for option, value in wanted.items())

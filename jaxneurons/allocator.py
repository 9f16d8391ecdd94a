"""The C library's memory allocator, told to keep what is freed for the next to ask.

XLA asks for its temporaries anew at every call, and glibc gives as large ones back to the system at once: every call
then waits for the kernel to find and clear the same tens of thousands of pages again.
"""

import ctypes
import os

# Of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
# The temporaries of a batch are smaller, and a large model's tensors, which are given back, larger.
LARGEST_KEPT = 2**27
MOST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory, and whether it could: only glibc is told, and only if the environment does not.

    Blocks below `LARGEST_KEPT` bytes are kept, and up to `MOST_KEPT` bytes that are free at the end of the heap. All threads
    share one heap, so that what one frees another uses and the process grows no larger. For a process that
    is about to start its work: threads that have a heap by then keep it.
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

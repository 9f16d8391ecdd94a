"""The C library's memory allocator, told to keep freed memory for the next use.

XLA allocates its temporaries anew at every call, and glibc gives blocks of their size back to the system
as soon as they are freed. Every call then waits for the kernel to find and clear the same tens of thousands of pages.
"""

import ctypes
import os

# Option numbers of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
# Most temporaries of a batch are smaller, and the tensors of large models larger.
LARGEST_KEPT = 2**27
MOST_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory for reuse, and tells whether it does.

    It does with glibc from 2.35 on (an older one refuses), unless the environment has settings of its own:
    `MALLOC_*`, or `glibc.malloc.*` in `GLIBC_TUNABLES`. Freed blocks of less than `LARGEST_KEPT` bytes are
    then kept, up to `MOST_KEPT` bytes at the end of the heap; larger ones are given back at once. All threads
    share one heap, so that one can use what another freed. Call it before threads start: one that already
    has a heap of its own stays with that.
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
        _ARENA_MAX: 1,
    }
    return all(mallopt(option, value) for option, value in options.items())

"""How many pages a process finds anew while it asks for 64 MiB and frees them, again and again, as a compiled program does.

As a program it says so of itself; as a module it is a contender of a benchmark.
"""

import ctypes
import resource

BLOCK_BYTES = 2**26
STEPS = 8


def count():
    """Pages that all steps but the first find anew."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p

    def step():
        block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(BLOCK_BYTES)))
        library.memset(block, 1, ctypes.c_size_t(BLOCK_BYTES))
        library.free(block)

    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def make():
    """The contender."""
    return lambda: {"pages": count()}


if __name__ == "__main__":
    from jaxneurons.command import script

    script.run(lambda: print(count()))

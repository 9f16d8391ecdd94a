"""Freed memory is kept for reuse: in the C library that takes advice, and only where the environment gives none."""

import platform
import subprocess
import sys

import pytest

LIBRARY, VERSION = platform.libc_ver()
TAKES_ADVICE = LIBRARY == "glibc" and tuple(map(int, VERSION.split("."))) >= (2, 35)
# Asks for 64 MiB again and again, as a compiled program does for its temporaries, and counts the pages found anew.
PAGES = """
import ctypes
import resource
from jaxneurons import allocator

print(allocator.keep_freed_memory())
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p

def step():
    block = ctypes.c_void_p(library.malloc(ctypes.c_size_t(2**26)))
    library.memset(block, 1, ctypes.c_size_t(2**26))
    library.free(block)

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
STEP_PAGES = 2**26 // 4096
pytestmark = pytest.mark.skipif(not TAKES_ADVICE, reason="wants glibc 2.35 or later")


def pages(**environment):
    """Whether memory is kept, and how many pages eight steps found anew."""
    done = subprocess.run(
        [sys.executable, "-c", PAGES],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    kept, found = done.stdout.split()
    return kept == "True", int(found)


def test_freed_memory_is_used_again():
    kept, found = pages()
    assert kept
    assert found < STEP_PAGES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ],
)
def test_the_environments_own_choice_stands(name, value):
    kept, found = pages(**{name: value})
    assert not kept
    assert found >= 8 * STEP_PAGES

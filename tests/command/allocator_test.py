"""Freed memory is kept for reuse: in the C library that takes advice, and only where the environment gives none."""

import pathlib
import platform
import resource
import subprocess
import sys

import pytest

from jaxneurons.benchmark import processes
from jaxneurons.command import allocator
from tests.support import cases, page_faults

LIBRARY, VERSION = platform.libc_ver()
TAKES_ADVICE = LIBRARY == "glibc" and tuple(map(int, VERSION.split("."))) >= (2, 35)
STEP_PAGES = page_faults.BLOCK_BYTES // resource.getpagesize()
ALL_PAGES = page_faults.STEPS * STEP_PAGES
pytestmark = pytest.mark.skipif(
    not TAKES_ADVICE, reason="wants glibc 2.35 or later, which takes advice"
)


def pages_of_a_script(**environment):
    """Pages that the steps of a script find anew."""
    done = subprocess.run(
        [sys.executable, page_faults.__file__],
        check=True,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    )
    return int(done.stdout)


def test_a_script_uses_freed_memory_again():
    assert pages_of_a_script() < STEP_PAGES


@cases.each(
    "name, value",
    [
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ],
)
def test_the_environments_own_choice_stands(monkeypatch, name, value):
    assert pages_of_a_script(**{name: value}) >= ALL_PAGES
    monkeypatch.setenv(name, value)
    assert not allocator.keep_freed_memory()


# How many heaps there are once a thread has allocated.
HEAPS = """
import ctypes, os, tempfile, threading
from jaxneurons.command import allocator
allocator.keep_freed_memory()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
thread = threading.Thread(target=library.malloc, args=(100,))
thread.start()
thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(file.read().count(b"<heap"))
"""


@cases.each("platforms, one", [("cpu", True), ("cuda,cpu", False)])
def test_threads_share_a_heap_where_the_cpu_computes(platforms, one):
    found = subprocess.run(
        [sys.executable, "-c", HEAPS],
        check=True,
        capture_output=True,
        text=True,
        env={
            "JAX_PLATFORMS": platforms,
            "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        },
    )
    assert (int(found.stdout) == 1) == one


def test_a_contender_uses_freed_memory_again_if_it_is_to():
    contenders = [
        processes.Contender("keeps", "tests.support.page_faults", ()),
        processes.Contender(
            "as it comes", "tests.support.page_faults", (), keeps_freed_memory=False
        ),
    ]
    results = processes.alternate(contenders, 1)
    pages = {name: result.rounds[0]["pages"] for name, result in results.items()}
    assert pages["keeps"] < STEP_PAGES
    assert pages["as it comes"] >= ALL_PAGES

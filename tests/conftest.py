"""Strict JAX for every test: no silent rank or type promotion, full-precision products; and `--campaign`.

Tests compile the same programs time and again, as do the processes that they start: all share one cache
of them, which is empty when the tests begin and gone when they end. Most of them run for milliseconds, so JAX
does without most optimizations and without the emitters of fused loops that take longest, but with --campaign,
and where the two variables are set. Tests of parity are optimized.
"""

import gc
import os
import sys
import tempfile

# Processes of pytest-xdist inherit the choice of the one that was given the flags.
if "--campaign" not in sys.argv and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
        " --xla_cpu_parallel_codegen_split_count=1",
    )
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _COMPILED = tempfile.TemporaryDirectory(prefix="jaxneurons-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# The tests' processes share a GPU, where there is one.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import hypothesis
import jax
import pytest

# The same examples each time, however busy the machine.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

# Tests make 32-bit arrays, whatever the environment says.
jax.config.update("jax_enable_x64", False)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_addoption(parser):
    parser.addoption(
        "--campaign",
        action="store_true",
        help="run the tests marked campaign too, and those of faults with all their tries: minutes each",
    )


def pytest_xdist_auto_num_workers(config):
    """One process more than there are cores, since tests wait for others; but few: each takes 1 GB."""
    return min(4, os.cpu_count() + 1)


def pytest_collection_finish():
    """What was imported stays: the collector need not look at it again."""
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    """Leaves out what is marked `campaign`, unless it is asked for."""
    if config.getoption("--campaign"):
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture
def optimized():
    """Programs are compiled as users' are."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def campaign(request):
    """Whether all tries are asked for, not the few of every day."""
    return request.config.getoption("--campaign")

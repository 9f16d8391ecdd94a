"""Settings of JAX and flax that decide numbers, the same for every training run, whatever the user's are."""

import contextlib
from collections.abc import Iterator

import flax
import jax

from jaxneurons import devices

# Randomness is a function of the seed alone: no default implementation, no offset of all seeds.
_RANDOM = "threefry2x32"


@contextlib.contextmanager
def fixed() -> Iterator[None]:
    """Within it, and within functions that it decorates, numbers do not depend on the settings outside."""
    with (
        jax.enable_x64(False),
        jax.threefry_partitionable(True),
        jax.default_prng_impl(_RANDOM),
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.disable_jit(False),
        flax.config.temp_flip_flag("fix_rng_separator", False),
        _optimized(),
        devices.unguarded(),
    ):
        yield


def default_dtype() -> str:
    """bfloat16 where hardware multiplies it fast, float32 on a CPU."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def random_key(seed: int) -> jax.Array:
    """A random key that depends on the seed alone, from 0 to 2**31 - 1."""
    data = jax.numpy.array([0, seed], jax.numpy.uint32)
    return jax.random.wrap_key_data(data, impl=_RANDOM)


@contextlib.contextmanager
def _optimized() -> Iterator[None]:
    """Optimizes programs as by default; JAX has this setting for the process as a whole alone."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)

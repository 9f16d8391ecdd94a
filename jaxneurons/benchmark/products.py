"""A product of squares by one library, as a contender: its name in, the seconds of its fastest call out."""

import importlib
from collections.abc import Callable
from typing import Any

from jaxneurons.benchmark import processes


def make(library: str, size: int, dtype: str) -> Callable[[], dict[str, Any]]:
    """The fastest of several products by "jax" or "torch", the only one that is imported."""
    call = _torch(size, dtype) if library == "torch" else _jax(size, dtype)
    return lambda: processes.best(call)


def _torch(size: int, dtype: str) -> Callable[[], Any]:
    torch = importlib.import_module("torch")
    square = torch.randn(size, size, dtype=getattr(torch, dtype))
    return lambda: square @ square


def _jax(size: int, dtype: str) -> Callable[[], Any]:
    import jax

    square = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(lambda a: jax.numpy.matmul(a, a, precision="highest"))
    return lambda: product(square).block_until_ready()

"""How fast: this device's ceilings, forward passes of every shape, with and without counting.

Sizes in, figures out, one by one as they are found.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons.benchmark import ours, workload
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes

PRECISIONS = (
    ("float32", "highest"),
    ("float32", "default"),
    ("float16", "highest"),
    ("bfloat16", "highest"),
)


def device(sizes: Sizes) -> Iterator[Figure]:
    """What it is that is checked."""
    del sizes
    first = jax.devices()[0]
    memory = (first.memory_stats() or {}).get("bytes_limit", 0)
    yield Figure("platform", first.platform)
    yield Figure("kind", first.device_kind)
    yield Figure("memory JAX may use", memory / 2**30, "GiB")
    yield Figure("JAX", jax.__version__)


def ceilings(sizes: Sizes) -> Iterator[Figure]:
    """Rates of square matrix products and of copying."""
    for dtype, precision in PRECISIONS:
        rate = _product_rate(sizes, dtype, precision)
        yield Figure(f"products, {dtype}, {precision}", rate / 1e12, "TFLOP/s")
    elements = jnp.zeros(sizes.copied_bytes // 4, jnp.float32)
    seconds = _seconds(sizes, jax.jit(jnp.negative), elements)
    yield Figure("copying on the device", 2 * elements.nbytes / seconds / 1e9, "GB/s")
    on_host = np.zeros(elements.shape, np.float32)
    seconds = _seconds(sizes, jax.device_put, on_host)
    yield Figure("from host memory", on_host.nbytes / seconds / 1e9, "GB/s")


def forward(sizes: Sizes, shape: str) -> Iterator[Figure]:
    """Tokens a second of a whole model, the share of the ceiling, and what counting adds."""
    case = sizes.workload(shape)
    layers = case.config.num_hidden_layers
    whole = sizes.shapes[shape].num_hidden_layers / layers
    operations = sum(workload.layer_products(case).values()) * layers * case.batches
    ceiling = _product_rate(sizes, case.dtype, "highest")
    taken = {}
    for counted in ("nothing", "everything"):
        taken[counted] = _seconds(sizes, ours.make(case, counted))
        rate = case.tokens / taken[counted] / whole
        yield Figure(f"{counted} counted, whole model", rate, "tokens/s")
        share = 100 * operations / taken[counted] / ceiling
        yield Figure(f"{counted} counted", share, "% of the ceiling")
    overhead = 100 * (taken["everything"] / taken["nothing"] - 1)
    yield Figure("counting adds", overhead, "%")


def _product_rate(sizes: Sizes, dtype: str, precision: str) -> float:
    """Floating-point operations a second of a square product."""
    shape = (sizes.square, sizes.square)
    matrix = jax.random.normal(jax.random.key(0), shape, dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    return 2 * sizes.square**3 / _seconds(sizes, product, matrix, matrix)


def _seconds(sizes: Sizes, call: Callable[..., Any], *arguments: Any) -> float:
    """The median of a call, after one that warms up."""
    jax.block_until_ready(call(*arguments))
    taken = []
    for _ in range(sizes.repeats):
        began = time.perf_counter()
        jax.block_until_ready(call(*arguments))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)

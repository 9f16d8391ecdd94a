"""How fast: this device's ceilings, copies, the step of a layer, with and without counting, and an update of training.

Sizes in, figures out, one by one as they are found. Many calls are made before one is waited for, as a study does.
"""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from jaxneurons import devices
from jaxneurons.benchmark import ours, workload
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import PRECISIONS, Config
from jaxneurons.model import block
from jaxneurons.stream import loop, step
from jaxneurons.training import numerics, recipe
from jaxneurons.training import step as training


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
    """Rates of square matrix products and of copying on the device."""
    kinds = [("float16", "highest"), ("bfloat16", "highest"), ("float32", "default")]
    for dtype, precision in [*kinds, *(("float32", way) for way in precisions())]:
        rate = _product_rate(sizes, dtype, PRECISIONS.get(precision, precision))
        yield Figure(f"products, {dtype}, {precision}", rate / 1e12, "TFLOP/s")
    elements = _normal((sizes.copied_bytes // 4,), "float32")
    negative = jax.jit(jnp.negative)
    seconds = _seconds(sizes, lambda: negative(elements))
    yield Figure("copying on the device", 2 * elements.nbytes / seconds / 1e9, "GB/s")


def precisions() -> list[str]:
    """How float32 can be multiplied here: a CPU knows one way."""
    return [*PRECISIONS] if jax.default_backend() != "cpu" else ["highest"]


def copies(sizes: Sizes) -> Iterator[Figure]:
    """Rates between the device and the host's memory, that of NumPy and pinned memory."""
    x = _normal((sizes.copied_bytes // 4,), "float32")
    pinned = x.sharding.with_memory_kind("pinned_host")
    on_host, there = np.array(x), jax.device_put(x, pinned)
    fresh = jax.jit(lambda x, number: x + number)

    def copy(name: str, copied: Callable[[Any], Any], made: Callable[[int], Any]):
        taken = []
        for number in range(sizes.repeats + 1):
            # An array keeps what it has once been copied to.
            source = jax.block_until_ready(made(number))
            began = time.perf_counter()
            jax.block_until_ready(copied(source))
            taken.append(time.perf_counter() - began)
        rate = x.nbytes / statistics.median(taken[1:])
        return Figure(name, rate / 1e9, "GB/s")

    def made(number: int) -> jax.Array:
        return fresh(x, float(number))

    yield copy("NumPy to device", jax.device_put, lambda number: on_host)
    yield copy("device to NumPy", np.asarray, made)
    yield copy("device to pinned", lambda x: jax.device_put(x, pinned), made)
    yield copy(
        "pinned to device", lambda p: jax.device_put(p, x.sharding), lambda _: there
    )
    yield copy("pinned to NumPy", np.asarray, lambda n: jax.device_put(made(n), pinned))


def layer_step(sizes: Sizes, shape: str) -> Iterator[Figure]:
    """Milliseconds of a layer on a batch, its share of the ceiling, and what counting and waiting add."""
    case = sizes.workload(shape)
    params = draw_layer(case)
    operations = sum(workload.layer_products(case).values())
    ceiling = _product_rate(sizes, case.dtype, "highest")
    taken = []
    for counted in ("nothing", "everything"):
        call = _stepping(case, counted, params)
        free = _seconds(sizes, call)
        waiting = _seconds(sizes, functools.partial(_wait_for, call))
        taken.append(free)
        yield Figure(f"{counted} counted", 1e3 * free, "ms per batch")
        share = 100 * operations / free / ceiling
        yield Figure(f"{counted} counted: share", share, "% of the ceiling")
        added = 100 * (waiting / free - 1)
        yield Figure(f"{counted} counted: a wait each adds", added, "%")
    yield Figure("counting adds", 100 * (taken[1] / taken[0] - 1), "%")


def float32_step(sizes: Sizes) -> Iterator[Figure]:
    """Milliseconds of a layer of the streamed shape in float32, everything counted, by precision."""
    case = dataclasses.replace(sizes.workload(sizes.streamed), dtype="float32")
    params = draw_layer(case)
    for precision in precisions():
        seconds = _seconds(sizes, _stepping(case, "everything", params, precision))
        yield Figure(f"{sizes.streamed}, {precision}", 1e3 * seconds, "ms per batch")


def training_update(sizes: Sizes) -> Iterator[Figure]:
    """Milliseconds of an update of the first shape, by type; activations are computed again on the way back."""
    name, config = next(iter(sizes.shapes.items()))
    mesh = devices.make_mesh(1)
    size = (sizes.windows_per_batch, sizes.window + 1)
    tokens = np.random.default_rng(0).integers(config.vocab_size, size=size)
    windows = training.put_windows(mesh, tokens.astype(np.int32), 1)
    for dtype in recipe.DTYPES:
        how = recipe.Recipe(
            steps=100, windows_per_step=size[0], dtype=dtype, remat=True
        )
        with numerics.fixed():
            call = _updating(config, how, mesh, windows)
            seconds = _seconds(sizes, call)
        yield Figure(f"{name}, {dtype}", 1e3 * seconds, "ms per update")


def _updating(
    config: Config, how: recipe.Recipe, mesh: Mesh, windows: jax.Array
) -> Callable[[], jax.Array]:
    """A function that updates a model once more, and gives its loss before."""
    state = training.initial_state(config, how, mesh)

    def call() -> jax.Array:
        nonlocal state
        state, metrics = training.update(config, how, mesh, state, windows)
        return metrics.loss

    return call


def _stepping(
    case: Workload, counted: str, params: loop.Parameters, precision: str = "highest"
) -> Callable[[], jax.Array]:
    """A function that runs the step once more on what it gave, and gives whether that is finite."""
    text, spread = ours.make_windows(case), ours.make_spread(case)
    batch = loop.make_batches(text, case.config, spread)[0]
    reduction = ours.make_reduction(case, text, counted, spread)
    size = (*batch.tokens.shape, case.config.hidden_size)
    x = jax.device_put(_normal(size, case.dtype), devices.sharded(spread.mesh))
    states = step.init_states(reduction.init, spread.mesh)
    layer = block.Block(case.config, precision=PRECISIONS[precision])

    def call() -> jax.Array:
        nonlocal x, states
        x, states, finite = step.step(
            layer, reduction.update, spread.mesh, params, x, states, batch
        )
        return finite

    return call


def _wait_for(call: Callable[[], jax.Array]) -> None:
    jax.block_until_ready(call())


def draw_layer(case: Workload) -> loop.Parameters:
    """Random parameters of a layer, drawn on the device: those of a large model take minutes on a host."""
    flat = {}
    shapes = block.parameter_shapes(case.config)
    for seed, (path, shape) in enumerate(shapes.items()):
        kind = path.rpartition("/")[2]
        if kind in ("bias", "scale"):
            flat[path] = jnp.full(shape, kind == "scale", case.dtype)
        else:
            flat[path] = _normal(shape, case.dtype, seed, workload.WEIGHT_SCALE)
    flat["feed_forward/fc1/bias"] = jnp.asarray(
        -workload.make_thresholds(case.config), case.dtype
    )
    everywhere = devices.replicated(ours.make_spread(case).mesh)
    return jax.device_put(traverse_util.unflatten_dict(flat, sep="/"), everywhere)


def _normal(
    shape: tuple[int, ...], dtype: str, seed: int = 0, scale: float = 1.0
) -> jax.Array:
    draw = jax.jit(lambda key: (scale * jax.random.normal(key, shape)).astype(dtype))
    return draw(jax.random.key(seed))


def _product_rate(sizes: Sizes, dtype: str, precision: str) -> float:
    """Floating-point operations per second of a square product."""
    matrix = _normal((sizes.square, sizes.square), dtype)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    return 2 * sizes.square**3 / _seconds(sizes, lambda: product(matrix))


def _seconds(sizes: Sizes, call: Callable[[], Any]) -> float:
    """Seconds per call, `sizes.calls` of them before a wait; the median, after one call that warms up."""
    jax.block_until_ready(call())
    taken = []
    for _ in range(sizes.repeats):
        began = time.perf_counter()
        for _ in range(sizes.calls):
            last = call()
        jax.block_until_ready(last)
        taken.append((time.perf_counter() - began) / sizes.calls)
    return statistics.median(taken)

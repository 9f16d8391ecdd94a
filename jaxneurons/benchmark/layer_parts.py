"""Where a layer's time goes, as a contender: each part of it beside this machine's matrix-product ceiling.

A workload in, a function out that times the ceiling and every part once, so that all of a round share
what else the machine was doing.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons.benchmark import ours
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.workload import Workload
from jaxneurons.counting import promoted
from jaxneurons.model import attention, block

# Squares whose best rate is the ceiling.
CEILING_SIZES = (1024, 2048)
PRECISION = "highest"

Part = tuple[Callable[..., Any], tuple[Any, ...]]


def make(workload: Workload) -> Callable[[], dict[str, Any]]:
    """Times parts of one layer on one batch; the returned dict has seconds by part.

    Its keys are `ceiling` (seconds by size of square) and `parts` (wall and CPU seconds by name).
    """
    squares = {size: _square(size, workload.dtype) for size in CEILING_SIZES}
    parts = _parts(workload)
    for call, arguments in [*squares.values(), *parts.values()]:
        jax.block_until_ready(call(*arguments))

    def once() -> dict[str, Any]:
        return {
            "ceiling": {str(size): _time(*part) for size, part in squares.items()},
            "parts": {name: _time(*part) for name, part in parts.items()},
        }

    return once


def _square(size: int, dtype: str) -> Part:
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    return jax.jit(functools.partial(jnp.matmul, precision=PRECISION)), (matrix, matrix)


def _parts(workload: Workload) -> dict[str, Part]:
    """Jitted functions and their arguments, named as in `workload.layer_products`, and the whole layer."""
    config = workload.config
    shape = (workload.windows_per_batch, workload.window, config.hidden_size)
    x = jax.random.normal(jax.random.key(1), shape, workload.dtype)
    params = ours.layer_parameters(workload, 0)
    heads = x.reshape(*shape[:2], config.num_attention_heads, config.head_size)
    kernels = {
        name: params["attention"][name]["kernel"].reshape(2 * shape[2:])
        for name in ("query", "key", "value", "output")
    }
    feed_forward = {
        name: params["feed_forward"][name]["kernel"] for name in ("fc1", "fc2")
    }
    causal = functools.partial(attention.causal_attention, precision=PRECISION)
    return {
        "attention projections": (jax.jit(_each_product), (x, kernels)),
        "attention": (jax.jit(causal), (heads, heads, heads)),
        "feed-forward": (jax.jit(_two_products), (x, feed_forward)),
        "layer": (jax.jit(functools.partial(_layer, block.Block(config))), (params, x)),
        **_promoted_parts(workload),
    }


def _promoted_parts(workload: Workload) -> dict[str, Part]:
    """The promoted tokens of a block of neurons, and the product alone that they are found in."""
    config, number = workload.config, promoted.NEURONS_PER_BLOCK
    random = np.random.default_rng(2)
    outputs, unembedding = (
        random.standard_normal((rows, config.word_embed_proj_dim), np.float32)
        for rows in (number, config.vocab_size)
    )
    ends = promoted.make_layer_ends(unembedding, None, 10)
    return {
        workloads.PROMOTED: (ends, (outputs,)),
        workloads.PROMOTED_PRODUCT: (
            jax.jit(_product),
            (outputs, jax.device_put(unembedding)),
        ),
    }


def _product(outputs: jax.Array, unembedding: jax.Array) -> jax.Array:
    return jnp.einsum("fe,ve->fv", outputs, unembedding, precision=PRECISION)


def _each_product(x: jax.Array, kernels: dict[str, jax.Array]) -> list[jax.Array]:
    return [jnp.matmul(x, kernel, precision=PRECISION) for kernel in kernels.values()]


def _two_products(x: jax.Array, kernels: dict[str, jax.Array]) -> jax.Array:
    inner = jnp.matmul(x, kernels["fc1"], precision=PRECISION)
    return jnp.matmul(inner, kernels["fc2"], precision=PRECISION)


def _layer(layer: block.Block, params: dict[str, Any], x: jax.Array) -> jax.Array:
    return layer.apply({"params": params}, x)[0]


def _time(call: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(call(*arguments))
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }

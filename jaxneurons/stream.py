"""The loop at the heart: windows stream through a stored model layer by layer, reductions watch.

Layer-major order reads every weight once: all windows pass layer l before any sees layer l + 1, so
that a model far larger than the accelerator's memory can be studied. Layer l + 1 is read from disk
while layer l computes, and one executable serves all layers: weights are its arguments.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import block, embed, errors, hidden
from jaxneurons.config import OPTConfig
from jaxneurons.corpus import Windows
from jaxneurons.reductions import Batch, Reduction, State
from jaxneurons.store import Store

Parameters = dict[str, Any]


class LayerResult(NamedTuple):
    """What the loop knows when a layer is done.

    Attributes:
        layer: its index in the model.
        params: its parameters as stored, on the host.
        state: the reduction's state after all batches.
        seconds: from the layer's first batch to its last.
        wait_seconds: the part of it spent waiting for weights.
        checksums: of the batches that the checkpoint copied; empty without one.
    """

    layer: int
    params: Parameters
    state: State
    seconds: float
    wait_seconds: float
    checksums: list[int]


def make_batches(
    windows: Windows, config: OPTConfig, windows_per_batch: int
) -> list[Batch]:
    """Cuts windows into batches of one size on the device; the last is filled up with empty windows."""
    count, length = windows.tokens.shape
    filled = -count % windows_per_batch
    tokens = np.pad(
        windows.tokens, ((0, filled), (0, 0)), constant_values=config.pad_token_id
    )
    lengths = np.pad(windows.lengths, (0, filled))
    domains = np.pad(windows.domains, (0, filled))
    valid = np.arange(length)[None, :] < lengths[:, None]
    special = np.isin(tokens, config.special_tokens) & valid
    device = jax.local_devices()[0]
    batches = []
    for first in range(0, len(tokens), windows_per_batch):
        chosen = slice(first, first + windows_per_batch)
        on_host = (
            tokens[chosen],
            valid[chosen],
            special[chosen],
            domains[chosen].astype(np.int32),
            lengths[chosen] == length,
            np.int32(first),
        )
        batches.append(Batch(*jax.device_put(on_host, device)))
    return batches


@functools.partial(jax.jit, static_argnames=("config", "dtype"))
def embed_batch(
    config: OPTConfig, params: Parameters, tokens: jax.Array, dtype: str
) -> jax.Array:
    """The residual stream before the first layer, float[B, T, D] of `dtype`."""
    return embed.embed(config, params, tokens, dtype=jnp.dtype(dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def cast_parameters(params: Parameters, dtype: str) -> Parameters:
    """Parameters in the type to compute in, once a layer rather than once a batch."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def compile_step(
    config: OPTConfig,
    reduction: Reduction,
    params: Parameters,
    x: jax.Array,
    batch: Batch,
) -> Callable[..., tuple[jax.Array, State, jax.Array]]:
    """The one executable of a run: (params, x, state, batch) to (x, state, finite), x and state donated.

    `finite` is bool[], whether x is finite on all text: NaN is not above 0 and would pass for a
    neuron at rest.
    """

    def step(
        params: Parameters, x: jax.Array, state: State, batch: Batch
    ) -> tuple[jax.Array, State, jax.Array]:
        applied = block.Block(config).apply({"params": params}, x)
        x, activation = cast(tuple[jax.Array, jax.Array], applied)
        chex.assert_shape(activation, (*x.shape[:2], config.ffn_dim))
        finite = jnp.all(jnp.isfinite(x) | ~batch.valid[:, :, None])
        return x, reduction.update(state, activation > 0, batch), finite

    state = jax.eval_shape(reduction.init)
    return jax.jit(step, donate_argnums=(1, 2)).lower(params, x, state, batch).compile()


def run_layers(
    model: Store,
    batches: Sequence[Batch],
    reduction: Reduction,
    dtype: str,
    layers: range,
    residual: hidden.InMemory | hidden.OnDisk,
    on_batch: Callable[[int], None] = lambda index: None,
) -> Iterator[LayerResult]:
    """Runs all batches through consecutive layers and yields after each layer.

    Args:
        model: the layer store to read from.
        batches: all windows, as `make_batches` cuts them.
        reduction: what to count; its `update` is compiled into the step.
        dtype: to compute in: "float32", "bfloat16" or "float16".
        layers: to run, ascending; from a later layer than 0 on, `residual` has what comes before.
        residual: where the residual stream is kept between layers.
        on_batch: called with its index after each batch, for progress.

    Raises:
        NotFiniteError: NaN or infinity came up, by overflow or out of the weights.
    """
    device = jax.local_devices()[0]
    embedding = jax.device_put(model.read_embed(), device) if 0 in layers else {}
    step = None
    for layer, stored, waited in _prefetched(model, layers):
        began = time.perf_counter() - waited
        params = cast_parameters(jax.device_put(stored, device), dtype)
        state = reduction.init()
        finite: dict[int, jax.Array] = {}
        for index, batch in enumerate(batches):
            if layer == 0:
                x = embed_batch(model.config, embedding, batch.tokens, dtype)
            else:
                x = residual.take(layer, index)
            if step is None:
                step = compile_step(model.config, reduction, params, x, batch)
            x, state, finite[index] = step(params, x, state, batch)
            # Dispatch must not run ahead of the device, or progress would lie.
            residual.put(layer, index, jax.block_until_ready(x))
            on_batch(index)
        if not all(jax.device_get(list(finite.values()))):
            raise errors.NotFiniteError(
                f"layer {layer}: NaN or infinity in the residual stream, computed in "
                f"{dtype}; float32 and bfloat16 reach further than float16"
            )
        checksums = residual.finish_layer()
        seconds = time.perf_counter() - began
        yield LayerResult(layer, stored, state, seconds, waited, checksums)


def _prefetched(model: Store, layers: range) -> Iterator[tuple[int, Parameters, float]]:
    """Each layer's parameters and the seconds spent waiting for them; reads one layer ahead."""
    with futures.ThreadPoolExecutor(1, thread_name_prefix="read-layer") as reader:
        upcoming = reader.submit(model.read_layer, layers[0])
        for layer in layers:
            began = time.perf_counter()
            stored = upcoming.result()
            waited = time.perf_counter() - began
            if layer + 1 in layers:
                upcoming = reader.submit(model.read_layer, layer + 1)
            yield layer, stored, waited

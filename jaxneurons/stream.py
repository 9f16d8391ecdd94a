"""The loop at the heart: windows stream through a stored model layer by layer, reductions watch.

Layer-major order reads every weight once: all windows pass layer l before any sees layer l + 1, so
that a model far larger than the accelerator's memory can be studied. Layer l + 1 is read from disk
and put on the device while layer l computes, so that two layers' weights are held and no more. One
executable serves all layers, since weights are its arguments; a second one, for the last layer, leaves
out what nothing reads, where that saves more than it takes to compile. On several devices each runs it
on its own part of a batch, and nothing passes between them until a layer's end.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple, TypeVar, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxneurons import block, devices, embed, errors, hidden
from jaxneurons.config import OPTConfig
from jaxneurons.corpus import Windows
from jaxneurons.devices import Spread
from jaxneurons.reductions import Batch, Reduction, State
from jaxneurons.store import Store

Parameters = dict[str, Any]
Weights = TypeVar("Weights")
Step = Callable[..., tuple[Any, State, jax.Array]]
# From so many operations saved on, a second executable is compiled for the last layer: about the
# second that compiling takes on a CPU.
LEAST_SAVED = 2e11


class LayerResult(NamedTuple):
    """What the loop knows when a layer is done; let go of it before asking for the next one's.

    Attributes:
        layer: its index in the model.
        params: its parameters as stored, on the host.
        state: the reduction's state after all batches, that of all devices.
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


def make_batches(windows: Windows, config: OPTConfig, spread: Spread) -> list[Batch]:
    """Cuts windows into batches of one size, spread over the devices; the last is filled up with empty windows.

    Each is a `Batch` of all devices' windows, but with the first window of each device: int32[N].
    """
    count, length = windows.tokens.shape
    filled = spread.windows_padded - count
    tokens = np.pad(
        windows.tokens, ((0, filled), (0, 0)), constant_values=config.pad_token_id
    )
    lengths = np.pad(windows.lengths, (0, filled))
    domains = np.pad(windows.domains, (0, filled))
    valid = np.arange(length)[None, :] < lengths[:, None]
    special = np.isin(tokens, config.special_tokens) & valid
    batches = []
    for first in range(0, len(tokens), spread.windows_at_once):
        chosen = slice(first, first + spread.windows_at_once)
        on_host = (
            tokens[chosen],
            valid[chosen],
            special[chosen],
            domains[chosen].astype(np.int32),
            lengths[chosen] == length,
            np.arange(len(tokens), dtype=np.int32)[chosen][:: spread.windows_per_part],
        )
        batches.append(Batch(*jax.device_put(on_host, devices.sharded(spread.mesh))))
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
    last: bool = False,
) -> Step:
    """An executable: (params, x, state, batch) to (x, state, finite), x and state donated.

    All but params have a leading axis that is shared out over the devices, the state as `init_states` makes
    it. `finite` is bool[N], whether x is finite on all text of a device's windows: NaN is not above 0 and
    would pass for a neuron at rest. With `last` there is no x after the layer, since no layer reads it,
    and with it goes the second product of the feed-forward network; `finite` is then of the activations.
    """

    def step(
        params: Parameters, x: jax.Array, states: State, batch: Batch
    ) -> tuple[jax.Array | None, State, jax.Array]:
        state = jax.tree.map(lambda leaf: leaf[0], states)
        batch = batch._replace(first_window=batch.first_window[0])
        applied = block.Block(config).apply({"params": params}, x)
        x, activation = cast(tuple[jax.Array, jax.Array], applied)
        chex.assert_shape(activation, (*x.shape[:2], config.ffn_dim))
        checked = activation if last else x
        finite = jnp.all(jnp.isfinite(checked) | ~batch.valid[:, :, None])
        state = reduction.update(state, activation > 0, batch)
        states = jax.tree.map(lambda leaf: leaf[None], state)
        return None if last else x, states, finite[None]

    mesh = devices.mesh_of(x)
    part = PartitionSpec(devices.AXIS)
    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(PartitionSpec(), part, part, part),
        out_specs=part,
        # Nothing here is equal on all devices, and a reduction's loops should not have to say so.
        check_vma=False,
    )
    states = jax.eval_shape(lambda: init_states(reduction, mesh))
    jitted = jax.jit(mapped, donate_argnums=(2,) if last else (1, 2))
    return jitted.lower(params, x, states, batch).compile()


def init_states(reduction: Reduction, mesh: Mesh) -> State:
    """A state for each of N devices: arrays [N, ...], each device with its own."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (mesh.size, *leaf.shape)),
        reduction.init(),
    )


def run_layers(
    model: Store,
    batches: Sequence[Batch],
    reduction: Reduction,
    dtype: str,
    layers: range,
    residual: hidden.HiddenStates,
    on_batch: Callable[[int], None] = lambda index: None,
    steps: dict[bool, Step] | None = None,
) -> Iterator[LayerResult]:
    """Runs all batches through consecutive layers and yields after each layer.

    Args:
        model: the layer store to read from.
        batches: all windows, as `make_batches` cuts them.
        reduction: what to count; its `update` is compiled into the step.
        dtype: to compute in: "float32", "bfloat16" or "float16".
        layers: to run, ascending; from a later layer than 0 on, `residual` has what comes before.
            After the last one it need not hold anything.
        residual: where the residual stream is kept between layers.
        on_batch: called with its index after each batch, for progress.
        steps: executables that an earlier call compiled for the same reduction and sizes, the last
            layer's under True; those compiled now are added.

    Raises:
        NotFiniteError: NaN or infinity came up, by overflow or out of the weights.
    """
    mesh = devices.mesh_of(batches[0].tokens)
    everywhere = devices.replicated(mesh)
    embedding = jax.device_put(model.read_embed(), everywhere) if 0 in layers else {}
    begin = jax.jit(
        lambda: init_states(reduction, mesh), out_shardings=devices.sharded(mesh)
    )
    separate = _saved_by_last(model.config, batches) >= LEAST_SAVED

    def load(layer: int) -> tuple[Parameters, Parameters]:
        stored = model.read_layer(layer)
        on_device = cast_parameters(jax.device_put(stored, everywhere), dtype)
        return stored, jax.block_until_ready(on_device)

    steps = {} if steps is None else steps
    for layer, (stored, params), waited in _loaded_ahead(load, layers):
        began = time.perf_counter() - waited
        last = layer == layers[-1]
        state = begin()
        finite = []
        for index, batch in enumerate(batches):
            if layer == 0:
                x = embed_batch(model.config, embedding, batch.tokens, dtype)
            else:
                x = residual.take(layer, index)
            alone = separate and last
            if alone not in steps:
                steps[alone] = compile_step(
                    model.config, reduction, params, x, batch, alone
                )
            x, state, is_finite = steps[alone](params, x, state, batch)
            # Dispatch must not run ahead of the device, or progress would lie.
            finite.append(jax.block_until_ready(is_finite))
            if not last:
                residual.put(layer, index, x)
            on_batch(index)
        _check_finite(layer, finite, dtype)
        state = reduction.merge(state)
        checksums = residual.finish_layer()
        seconds = time.perf_counter() - began
        result = LayerResult(layer, stored, state, seconds, waited, checksums)
        # What this frame holds would stay while the next layers are read and counted.
        embedding = {}
        del params, stored, state
        yield result
        del result


def _saved_by_last(config: OPTConfig, batches: Sequence[Batch]) -> float:
    """Operations of the last layer's second feed-forward product."""
    tokens = len(batches) * batches[0].tokens.size
    return 2.0 * tokens * config.hidden_size * config.ffn_dim


def _check_finite(layer: int, finite: list[jax.Array], dtype: str) -> None:
    if not np.all(jax.device_get(finite)):
        raise errors.NotFiniteError(
            f"layer {layer}: NaN or infinity in the residual stream, computed in "
            f"{dtype}; float32 and bfloat16 reach further than float16"
        )


def _loaded_ahead(
    load: Callable[[int], Weights], layers: range
) -> Iterator[tuple[int, Weights, float]]:
    """Each layer's weights and the seconds spent waiting for them, one layer ahead."""
    with futures.ThreadPoolExecutor(1, thread_name_prefix="read-layer") as reader:
        pending = [reader.submit(load, layers[0])]
        for layer in layers:
            began = time.perf_counter()
            # Taken out: a future holds its result, and would until the next but one is read.
            weights = pending.pop().result()
            waited = time.perf_counter() - began
            if layer + 1 in layers:
                pending.append(reader.submit(load, layer + 1))
            yield layer, weights, waited
            del weights

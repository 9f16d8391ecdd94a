"""The loop at the heart: windows stream through a stored model layer by layer, reductions watch.

Layer-major order reads every weight once: all windows pass layer l before any sees layer l + 1, so
that a model far larger than the accelerator's memory can be studied. Layer l + 1 is read from disk
and put on the device while layer l computes, so that two layers' weights are held and no more. On several
devices each runs its own part of a batch, and nothing passes between them until a layer's end.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxneurons import devices, errors
from jaxneurons.config import Config
from jaxneurons.counting import reductions
from jaxneurons.counting.reductions import Batch, Reduction, State
from jaxneurons.devices import Spread
from jaxneurons.disk import ahead
from jaxneurons.model import embed
from jaxneurons.store.reading import Store
from jaxneurons.stream import hidden, step
from jaxneurons.stream.step import Kind, Parameters, Step
from jaxneurons.text.corpus import Windows


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


def make_batches(windows: Windows, config: Config, spread: Spread) -> list[Batch]:
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
    config: Config, params: Parameters, tokens: jax.Array, dtype: str
) -> jax.Array:
    """The residual stream before the first layer, float[B, T, D] of `dtype`."""
    return embed.embed(config, params, tokens, dtype=jnp.dtype(dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def cast_parameters(params: Parameters, dtype: str) -> Parameters:
    """Parameters in the type to compute in, once a layer rather than once a batch."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def run_layers(
    model: Store,
    batches: Sequence[Batch],
    reduction: Reduction,
    dtype: str,
    layers: range,
    residual: hidden.HiddenStates,
    on_batch: Callable[[int], None] = lambda index: None,
    steps: dict[Kind, Step] | None = None,
    first_counted: int = 0,
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
        steps: executables that an earlier call compiled for the same reduction and sizes; those compiled
            now are added.
        first_counted: the first layer whose counts are wanted; the state of those below may be empty.

    Raises:
        NotFiniteError: NaN or infinity came up, by overflow or out of the weights.
    """
    mesh = devices.mesh_of(batches[0].tokens)
    everywhere = devices.replicated(mesh)
    embedding = jax.device_put(model.read_embed(), everywhere) if 0 in layers else {}
    kinds = step.kinds(model.config, batches, first_counted, layers[-1])
    reductions_by = {True: reduction, False: reductions.chain()}
    begins = {counts: _begin(each, mesh) for counts, each in reductions_by.items()}

    def load(layer: int) -> tuple[Parameters, Parameters]:
        stored = model.read_layer(layer)
        on_device = cast_parameters(jax.device_put(stored, everywhere), dtype)
        return stored, jax.block_until_ready(on_device)

    steps = {} if steps is None else steps
    for layer, (stored, params), waited in ahead.load_ahead(load, layers):
        began = time.perf_counter() - waited
        kind = kinds[layer]
        counting = reductions_by[kind.counts]
        state = begins[kind.counts]()
        finite = []
        for index, batch in enumerate(batches):
            if layer == 0:
                x = embed_batch(model.config, embedding, batch.tokens, dtype)
            else:
                x = residual.take(layer, index)
            if kind not in steps:
                steps[kind] = step.compile_step(
                    model.config, counting, params, x, batch, kind.goes_on
                )
            x, state, is_finite = steps[kind](params, x, state, batch)
            # Dispatch must not run ahead of the device, or progress would lie.
            finite.append(jax.block_until_ready(is_finite))
            if layer != layers[-1]:
                residual.put(layer, index, x)
            on_batch(index)
        _check_finite(layer, finite, dtype)
        state = counting.merge(state)
        checksums = residual.finish_layer()
        seconds = time.perf_counter() - began
        result = LayerResult(layer, stored, state, seconds, waited, checksums)
        # What this frame holds would stay while the next layers are read and counted.
        embedding = {}
        del params, stored, state
        yield result
        del result


def _begin(reduction: Reduction, mesh: Mesh) -> Callable[[], State]:
    """Makes the states of all devices before a layer, each where it is to be."""
    return jax.jit(
        lambda: step.init_states(reduction, mesh),
        out_shardings=devices.sharded(mesh),
    )


def _check_finite(layer: int, finite: list[jax.Array], dtype: str) -> None:
    if not np.all(jax.device_get(finite)):
        raise errors.NotFiniteError(
            f"layer {layer}: NaN or infinity in the residual stream, computed in "
            f"{dtype}; float32 and bfloat16 reach further than float16"
        )

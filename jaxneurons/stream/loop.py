"""The loop at the heart: windows stream through a model layer by layer, and a reduction watches.

All windows pass layer l before any sees layer l + 1, so that every weight is read once and a model far larger
than the accelerator's memory can be studied. While layer l computes, layer l + 1 is read and put on the device.
On several devices, of one process or of several, each runs its own part of a batch, and nothing passes between them
until a layer's end.
"""

import collections
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices, errors, processes
from jaxneurons.config import PRECISIONS, Config
from jaxneurons.counting.reductions import Batch, Reduction
from jaxneurons.devices import Spread
from jaxneurons.disk import ahead
from jaxneurons.model import block, embed
from jaxneurons.stream.hidden import HiddenStates
from jaxneurons.stream.step import Parameters, init_states, step
from jaxneurons.text.windows import Windows


class LayerSource(Protocol):
    """Where the loop reads a model from: a layer store, or anything else that can do this."""

    @property
    def config(self) -> Config:
        """Sizes and variant of the model."""

    def read_embed(self) -> Parameters:
        """The parameters outside the layers, on the host, as `embed.embed` takes them."""

    def read_layer(self, layer: int) -> Parameters:
        """The parameters of one layer, on the host, as `block.Block` takes them."""


class LayerResult(NamedTuple):
    """What the loop knows when a layer is done.

    Attributes:
        layer: its index in the model.
        found: what the reduction found, host arrays by name; those of JAX may still be on their way to the
            host's memory.
        seconds: from the layer's first batch to its last.
        wait_seconds: the part of it that was spent waiting for weights.
        copied: the digest of each part of the residual stream's copy; empty without a copy.
    """

    layer: int
    found: dict[str, Any]
    seconds: float
    wait_seconds: float
    copied: list[str]


def run_layers(
    model: LayerSource,
    batches: Sequence[Batch],
    reduction: Reduction,
    layers: range,
    hidden: HiddenStates,
    dtype: str = "float32",
    precision: str = "highest",
    edit: Callable[[int, Parameters], Parameters] = lambda layer, params: params,
    behind: int | None = None,
) -> Iterator[LayerResult]:
    """Runs all batches through consecutive layers and yields what was counted in each.

    Args:
        model: to read parameters from.
        batches: all windows, as `make_batches` cuts them.
        reduction: what to count; its `update` is compiled into the step.
        layers: to run, ascending, or none. Unless they begin at 0, `hidden` holds what comes before.
        hidden: where the residual stream is kept between layers.
        dtype: to compute in: "float32", "bfloat16" or "float16".
        precision: of the matrix products, one of `config.PRECISIONS`.
        edit: from a layer and its parameters, on the devices and in the type to compute in, to the parameters
            that run in their place, of the same shapes and types; so no executable is compiled anew.
        behind: how many batches are under way when one is waited for; None is one on accelerators, for which the
            wait would be a pause, and none on a CPU, whose memory they would take.

    Raises:
        NotFiniteError: NaN or infinity came up, by overflow or out of the weights.
    """
    if not layers:
        return
    mesh = devices.mesh_of(batches[0].tokens)
    if behind is None:
        behind = 0 if mesh.devices.flat[0].platform == "cpu" else 1

    def load(layer: int) -> Parameters:
        stored = devices.put(model.read_layer(layer), devices.replicated(mesh))
        return jax.block_until_ready(edit(layer, cast_parameters(stored, dtype)))

    layer_block = block.Block(model.config, precision=PRECISIONS[precision])
    run_step = functools.partial(step, layer_block, reduction.update, mesh)
    take = hidden.take if layers.start else _embed_batches(model, batches, dtype)
    for layer, params, waited in ahead.load_ahead(load, layers):
        began = time.perf_counter() - waited
        states, finite = init_states(reduction.init, mesh), []
        under_way: collections.deque[tuple[int, jax.Array, jax.Array]] = (
            collections.deque()
        )
        for index, batch in enumerate(batches):
            x = take(layer, index)
            x, states, is_finite = run_step(params, x, states, batch)
            under_way.append((index, x, is_finite))
            while len(under_way) > (behind if index + 1 < len(batches) else 0):
                done, x, is_finite = under_way.popleft()
                # What is kept is done: dispatch ahead of the device must not pass for progress.
                finite.append(jax.block_until_ready(is_finite))
                hidden.put(layer, done, x)
        _check_finite(layer, finite, dtype)
        states = devices.at_hand(reduction.merge(states))
        found, copied = reduction.finalize(states), hidden.finish_layer(layer)
        yield LayerResult(layer, found, time.perf_counter() - began, waited, copied)
        # The embedding has been looked up, and the counts are on the host.
        take, states = hidden.take, None


def _embed_batches(
    model: LayerSource, batches: Sequence[Batch], dtype: str
) -> Callable[[int, int], jax.Array]:
    """Gives the residual stream before layer 0 of each batch, by layer and batch."""
    everywhere = devices.replicated(devices.mesh_of(batches[0].tokens))
    embedding = devices.put(model.read_embed(), everywhere)

    def embed_batch(layer: int, batch: int) -> jax.Array:
        del layer
        return embed_tokens(model.config, embedding, batches[batch].tokens, dtype)

    return embed_batch


@functools.partial(jax.jit, static_argnames=("config", "dtype"))
def embed_tokens(
    config: Config, params: Parameters, tokens: jax.Array, dtype: str
) -> jax.Array:
    """The residual stream before the first layer, float[B, T, D] of `dtype`."""
    return embed.embed(config, params, tokens, dtype=jnp.dtype(dtype))


@functools.partial(jax.jit, static_argnames="dtype")
def cast_parameters(params: Parameters, dtype: str) -> Parameters:
    """Parameters in the type to compute in, once per layer rather than once per batch."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def make_batches(
    windows: Windows, config: Config, spread: Spread, first_window: int = 0
) -> list[Batch]:
    """Cuts windows into batches of one size, spread over the devices; empty windows fill the last one up.

    Each is a `Batch` of all devices' windows, but with the first window of each device: int32[N]. These are part
    of a text, from its window `first_window` on.
    """
    count, length = windows.tokens.shape
    filled = spread.windows_padded - count
    # No token of an empty window is looked at, so any id will do.
    tokens = np.pad(windows.tokens, ((0, filled), (0, 0)))
    lengths = np.pad(windows.lengths, (0, filled))
    domains = np.pad(windows.domains, (0, filled))
    index = np.arange(first_window, first_window + len(tokens), dtype=np.int32)
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
            index[chosen][:: spread.windows_per_part],
        )
        batches.append(Batch(*devices.put(on_host, devices.sharded(spread.mesh))))
    return batches


def batch_tokens(windows: Windows, spread: Spread) -> list[int]:
    """Tokens that are not padding in each of the batches that `make_batches` cuts."""
    firsts = range(0, len(windows.lengths), spread.windows_at_once)
    return np.add.reduceat(windows.lengths, firsts).tolist()


def _check_finite(layer: int, finite: list[jax.Array], dtype: str) -> None:
    own = np.all([devices.own_part(batch) for batch in finite])
    if not all(processes.exchange(bool(own))):
        raise errors.NotFiniteError(
            f"layer {layer} has NaN or infinity in the residual stream, computed in {dtype}. "
            "Compute in float32 or bfloat16, which reach further than float16."
        )

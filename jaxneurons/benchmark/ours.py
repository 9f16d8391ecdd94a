"""This project's forward pass as a contender: a workload and what to count in, a function to measure out.

It is the loop of a study, `stream.loop`, with weights that wait in memory, as those of the other contenders do.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from jaxneurons import devices
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import Config
from jaxneurons.counting import ngram_coverage, paper, reductions
from jaxneurons.model import block, embed
from jaxneurons.stream import hidden, loop, step
from jaxneurons.text import windows

COUNTED = ("nothing", "activations", "positions too", "n-grams too", "everything")


class Resident(NamedTuple):
    """A model whose parameters are all in memory, as a `loop.LayerSource`.

    Attributes:
        config: of the model.
        embedding: the parameters outside the layers.
        layers: those of each layer.
    """

    config: Config
    embedding: loop.Parameters
    layers: list[loop.Parameters]

    def read_embed(self) -> loop.Parameters:
        """The parameters outside the layers."""
        return self.embedding

    def read_layer(self, layer: int) -> loop.Parameters:
        """The parameters of a layer."""
        return self.layers[layer]


def make(workload: Workload, counted: str) -> Callable[[], dict[str, Any]]:
    """A forward pass, compiled; `counted` is one of `COUNTED`, each with all before it.

    The pass returns `active_share`, of neurons and tokens, and `layer_end_cpu_seconds`, of turning states into
    arrays; nothing where nothing is counted.
    """
    config, spread = workload.config, make_spread(workload)
    text = make_windows(workload)
    batches = loop.make_batches(text, config, spread)
    reduction = make_reduction(workload, text, counted, spread)
    model = make_model(workload)
    end_seconds = 0.0

    def finalize(state: reductions.State) -> dict[str, Any]:
        nonlocal end_seconds
        began = time.process_time()
        found = ngram_coverage.join_candidates(reduction.finalize(state))
        end_seconds += time.process_time() - began
        return found

    timed = reduction._replace(finalize=finalize)

    def forward(layers: range) -> dict[str, Any]:
        nonlocal end_seconds
        active, end_seconds = 0, 0.0
        residual = hidden.InMemory()
        for result in loop.run_layers(
            model, batches, timed, layers, residual, workload.dtype
        ):
            active += int(result.found.get("activation_count", np.zeros(1)).sum())
        if counted == COUNTED[0]:
            return {}
        places = workload.tokens * config.ffn_dim * len(layers)
        return {"active_share": active / places, "layer_end_cpu_seconds": end_seconds}

    # Compiles.
    forward(range(1))
    return lambda: forward(range(config.num_hidden_layers))


def compiled_step(workload: Workload, counted: str) -> jax.stages.Compiled:
    """The executable that the forward pass runs on every layer and batch."""
    spread, text = make_spread(workload), make_windows(workload)
    batch = loop.make_batches(text, workload.config, spread)[0]
    reduction = make_reduction(workload, text, counted, spread)
    shape = (*batch.tokens.shape, workload.config.hidden_size)
    x = jax.ShapeDtypeStruct(shape, workload.dtype, sharding=batch.tokens.sharding)
    states = step.init_states(reduction.init, spread.mesh)
    params = layer_parameters(workload, 0)
    lowered = step.step.lower(
        block.Block(workload.config),
        reduction.update,
        spread.mesh,
        params,
        x,
        states,
        batch,
    )
    return lowered.compile()


def make_model(workload: Workload) -> Resident:
    """A model of random parameters, in the type to compute in."""
    config = workload.config
    embedding = random_parameters(embed.parameter_shapes(config), 0)
    layers = [layer_parameters(workload, n) for n in range(config.num_hidden_layers)]
    return Resident(config, loop.cast_parameters(embedding, workload.dtype), layers)


def make_windows(workload: Workload) -> windows.Windows:
    """The workload's text as one domain."""
    tokens = workloads.make_tokens(workload)
    lengths = np.full(len(tokens), workload.window, np.int32)
    domains = np.zeros(len(tokens), np.int32)
    return windows.Windows(tokens, lengths, domains, ("made up",), ("",))


def make_spread(workload: Workload) -> devices.Spread:
    """All windows on one device, as many at a time as the workload says."""
    return devices.spread(workload.windows, workload.windows_per_batch, number=1)


def make_reduction(
    workload: Workload,
    text: windows.Windows,
    counted: str,
    spread: devices.Spread,
) -> reductions.Reduction:
    """What a study counts, or the first parts of it."""
    parts = paper.paper_counts(
        workload.config, text.tokens, text.lengths, text.full_windows(), spread
    )
    return reductions.chain(*parts[: COUNTED.index(counted)])


def layer_parameters(workload: Workload, layer: int) -> loop.Parameters:
    """Random parameters of a layer on the device, in the type to compute in."""
    config = workload.config
    params = random_parameters(block.parameter_shapes(config), layer + 1)
    if config.enable_bias:
        fc1 = params["feed_forward"]["fc1"]
        fc1["bias"] = -workloads.make_thresholds(config)
    return loop.cast_parameters(params, workload.dtype)


def random_parameters(
    shapes: Mapping[str, tuple[int, ...]], seed: int
) -> dict[str, Any]:
    """Parameters as OPT begins with: small random weights, no biases, scales of 1."""
    random = np.random.default_rng(seed)
    flat = {}
    for path, shape in shapes.items():
        kind = path.rpartition("/")[2]
        if kind in ("bias", "scale"):
            flat[path] = np.full(shape, kind == "scale", np.float32)
        else:
            flat[path] = random.standard_normal(shape, np.float32)
            flat[path] *= workloads.WEIGHT_SCALE
    return traverse_util.unflatten_dict(flat, sep="/")

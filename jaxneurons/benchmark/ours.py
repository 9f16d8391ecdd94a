"""This project's forward pass as a contender: a workload and what to count in, a function to measure out.

The loop is `stream.run_layers` without the disk: weights wait in memory, as those of the other contenders do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from jaxneurons import devices
from jaxneurons.benchmark import workload as workloads
from jaxneurons.benchmark.workload import Workload
from jaxneurons.counting import ngram_coverage, reductions
from jaxneurons.model import block, embed
from jaxneurons.stream import loop, step
from jaxneurons.text import corpus

COUNTED = ("nothing", "activations", "positions too", "everything")


class Run(NamedTuple):
    """What `prepare` makes.

    Attributes:
        forward: a forward pass that counts. It returns `active_share`, of neurons and tokens, and
            `layer_end_cpu_seconds`, of turning states into arrays; nothing where nothing is counted.
        step: the executable that it runs on every layer and batch.
    """

    forward: Callable[[], dict[str, Any]]
    step: jax.stages.Compiled


def make(workload: Workload, counted: str) -> Callable[[], dict[str, Any]]:
    """The forward pass of `prepare`."""
    return prepare(workload, counted).forward


def prepare(workload: Workload, counted: str) -> Run:
    """A compiled forward pass; `counted` is one of `COUNTED`, each with all before it."""
    windows = make_windows(workload)
    config = workload.config
    spread = make_spread(workload)
    batches = loop.make_batches(windows, config, spread)
    reduction = make_reduction(workload, windows, counted, spread)
    embedding = random_parameters(embed.parameter_shapes(config), 0)
    embedding = loop.cast_parameters(embedding, workload.dtype)
    layers = [layer_parameters(workload, n) for n in range(config.num_hidden_layers)]
    x = loop.embed_batch(config, embedding, batches[0].tokens, workload.dtype)
    compiled = step.compile_step(config, reduction, layers[0], x, batches[0])

    def forward(
        layers: Sequence[loop.Parameters], batches: Sequence[reductions.Batch]
    ) -> dict[str, Any]:
        residual = [
            loop.embed_batch(config, embedding, batch.tokens, workload.dtype)
            for batch in batches
        ]
        active, layer_end = 0, 0.0
        for params in layers:
            states = step.init_states(reduction, spread.mesh)
            for index, batch in enumerate(batches):
                x = residual[index]
                residual[index], states, finite = compiled(params, x, states, batch)
                # Waits at every batch, as the stream does.
                jax.block_until_ready(finite)
            began = time.process_time()
            found = ngram_coverage.join_candidates(
                reduction.finalize(reduction.merge(states))
            )
            layer_end += time.process_time() - began
            active += int(found.get("activation_count", np.zeros(1)).sum())
        if counted == COUNTED[0]:
            return {}
        places = workload.tokens * config.ffn_dim * len(layers)
        return {"active_share": active / places, "layer_end_cpu_seconds": layer_end}

    # Compiles what is left to compile: the end of a layer.
    forward(layers[:1], batches[:1])
    return Run(lambda: forward(layers, batches), compiled)


def make_windows(workload: Workload) -> corpus.Windows:
    """The workload's text as one domain."""
    tokens = workloads.make_tokens(workload)
    lengths = np.full(len(tokens), workload.window, np.int32)
    domains = np.zeros(len(tokens), np.int32)
    return corpus.Windows(tokens, lengths, domains, ("made up",), ("",))


def make_spread(workload: Workload) -> devices.Spread:
    """All windows on one device, as many at a time as the workload says."""
    return devices.spread(workload.windows, workload.windows_per_batch, number=1)


def make_reduction(
    workload: Workload, windows: corpus.Windows, counted: str, spread: devices.Spread
) -> reductions.Reduction:
    """What `run.run_study` counts, or the first parts of it."""
    neurons = workload.config.ffn_dim
    makers = (
        lambda: reductions.activation_counts(1, neurons),
        lambda: reductions.position_counts(1, workload.window, neurons),
        lambda: ngram_coverage.ngram_coverage(
            windows.tokens,
            windows.lengths,
            workload.config.special_tokens,
            neurons,
            spread=spread,
        ),
    )
    return reductions.chain(*[m() for m in makers[: COUNTED.index(counted)]])


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

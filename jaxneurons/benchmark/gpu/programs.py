"""The programs of a study, lowered for a GPU that need not be there: sizes in, what compiles out.

Steps of a layer, what runs at a layer's end, and attention alone.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax.experimental import topologies
from jax.sharding import Mesh, PartitionSpec

from jaxneurons import devices, errors, terms
from jaxneurons.benchmark import ours, workload
from jaxneurons.benchmark.gpu import targets
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import PRECISIONS, Config
from jaxneurons.counting import (
    counts,
    examples,
    ngram_counts,
    ngram_order,
    paper,
    reductions,
    statistics,
)
from jaxneurons.model import attention, block
from jaxneurons.run import memory_plan
from jaxneurons.stream import step

COUNTED = ("nothing", "everything")


def make_mesh(target: str) -> Mesh:
    """One device of `targets.TARGETS`.

    Raises:
        UsageError: XLA's compiler for CUDA is not installed.
    """
    try:
        topology = topologies.get_topology_desc(
            platform="cuda",
            target_config=targets.TARGETS[target],
            topology="1x1x1",
        )
    # RuntimeError, ValueError and others, by JAX's version.
    except Exception as error:
        raise errors.UsageError(
            f"XLA has no compiler for {target} here. Install the extra cuda13, which needs no GPU."
        ) from error
    return topologies.make_mesh(topology, (1,), (devices.AXIS,))


def lower_step(
    case: Workload, counted: str, mesh: Mesh, precision: str = "highest"
) -> jax.stages.Lowered:
    """The step on a batch of a workload; in 16 bits with cuDNN's attention, as on a GPU."""
    config, dtype = case.config, jnp.dtype(case.dtype)
    text, spread = ours.make_windows(case), ours.make_spread(case)
    reduction = ours.make_reduction(case, text, counted, spread)
    lay = functools.partial(_shape, mesh)
    flat = {
        path: lay(shape, dtype, PartitionSpec())
        for path, shape in block.parameter_shapes(config).items()
    }
    batch, length = case.windows_per_batch, case.window
    rows = (batch, length)
    states = jax.tree.map(
        lambda leaf: lay((1, *leaf.shape), leaf.dtype), jax.eval_shape(reduction.init)
    )
    layer = block.Block(
        config,
        implementation="cudnn" if dtype.itemsize == 2 else "chunked",
        precision=PRECISIONS[precision],
    )
    return step.step.lower(
        layer,
        reduction.update,
        mesh,
        traverse_util.unflatten_dict(flat, sep="/"),
        lay((*rows, config.hidden_size), dtype),
        states,
        reductions.Batch(
            tokens=lay(rows, "int32"),
            valid=lay(rows, bool),
            special=lay(rows, bool),
            domain=lay((batch,), "int32"),
            full=lay((batch,), bool),
            first_window=lay((1,), "int32"),
        ),
    )


def lower_attention(case: Workload, mesh: Mesh, precision: str) -> jax.stages.Lowered:
    """Attention alone on a batch."""
    config, dtype = case.config, jnp.dtype(case.dtype)
    shape = (
        case.windows_per_batch,
        case.window,
        config.num_attention_heads,
        config.head_size,
    )
    heads = _shape(mesh, shape, dtype)
    how = "cudnn" if dtype.itemsize == 2 else "chunked"
    attend = functools.partial(
        attention.causal_attention,
        implementation=how,
        precision=PRECISIONS[precision],
    )
    return jax.jit(attend).lower(heads, heads, heads)


def lower_ends(
    case: Workload, mesh: Mesh, ngram_bytes: int
) -> Iterator[tuple[str, jax.stages.Lowered, int, int]]:
    """Name and program of all that runs at a layer's end, how often it runs there, and its bytes by the plan."""
    config, lay = case.config, functools.partial(_shape, mesh)
    neurons, length = config.ffn_dim, case.window
    shape = (1, length, neurons)
    positions = counts.position_counts(1, length, neurons, [case.windows])
    kind = jax.eval_shape(positions.init).dtype
    states = lay((1, *shape), kind)
    # The plan has position counts once more than they are kept.
    kept_bytes = 4 * length * neurons
    yield "states added", reductions.add_states.lower(states), 1, kept_bytes
    inform = functools.partial(
        statistics.begin_position_information, windows=[case.windows]
    )
    informed = jax.jit(inform).lower(lay(shape, kind))
    yield "position information", informed, 1, kept_bytes
    number = paper.KEPT.examples
    kept = examples.examples(number, neurons)
    slots = jax.tree.map(
        lambda leaf: lay((1, *leaf.shape), leaf.dtype), jax.eval_shape(kept.init)
    )
    merged = examples.merge_states.lower(slots, number)
    planned = memory_plan.example_need(config, number, 1).device
    yield "examples merged", merged, 1, planned
    yield from _lower_ngrams(case, mesh, ngram_bytes)


def _lower_ngrams(
    case: Workload, mesh: Mesh, ngram_bytes: int
) -> Iterator[tuple[str, jax.stages.Lowered, int, int]]:
    config, lay = case.config, functools.partial(_shape, mesh)
    text, spread = ours.make_windows(case), ours.make_spread(case)
    orders = [
        ngram_order.order_ngrams(
            text.tokens, text.lengths, config.special_tokens, n, spread
        )
        for n in terms.ORDERS
    ]
    per_word = max(map(ngram_order.bytes_per_word, orders))
    blocks = ngram_order.cut_neurons(config.ffn_dim, per_word, ngram_bytes, 1)
    whole = PartitionSpec()
    last = PartitionSpec(None, None, devices.AXIS)
    masks = lay((case.tokens, blocks.words), "uint32", ngram_counts.by_words(mesh).spec)
    for n, order in zip(terms.ORDERS, orders, strict=True):
        layout = order.layout
        words, width = len(layout.occupied), blocks.width
        planned = per_word * width
        bits = lay((words, 32, width), "uint32", last)
        gathered = ngram_counts.slot_bits.lower(
            masks,
            lay((), "int32", whole),
            lay(layout.places.shape, "int32", whole),
            lay(layout.occupied.shape, "uint32", whole),
            width,
            mesh,
        )
        yield f"{n}-grams gathered", gathered, blocks.number, planned
        owners = lay(layout.owners.shape, "int32", whole)
        counting = ngram_counts.count.lower(bits, owners, layout.shape)
        yield f"{n}-grams counted", counting, blocks.number, planned
        found = jax.eval_shape(
            functools.partial(ngram_counts.count, shape=layout.shape), bits, owners
        )
        found = jax.tree.map(
            lambda leaf: lay(leaf.shape, leaf.dtype, PartitionSpec()), found
        )
        needed = lay((32, width), "int32", whole)
        covering = ngram_counts.coverage.lower(
            found, needed, layout.shape.most_occurrences
        )
        yield f"{n}-grams covering", covering, 2 * blocks.number, planned


def make_case(config: Config, dtype: str) -> Workload:
    """A model on 65,536 tokens, in batches of 8 windows of 2,048 or its longest context."""
    return workload.checked(
        config,
        layers=1,
        tokens=65536,
        window=min(2048, config.max_position_embeddings),
        windows_per_batch=8,
        dtype=dtype,
    )


def _shape(
    mesh: Mesh,
    shape: tuple[int, ...],
    dtype: Any,
    spec: PartitionSpec | None = None,
) -> Any:
    """An array that is nowhere yet, by default spread as windows are."""
    spec = PartitionSpec(devices.AXIS) if spec is None else spec
    sharding = jax.sharding.NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

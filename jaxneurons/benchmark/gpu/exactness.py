"""Is it right: the block against a float64 reference, cuDNN against the plain form, integers against the CPU's.

Sizes in, figures out, one by one as they are found.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons import devices
from jaxneurons.benchmark import ours, workload
from jaxneurons.benchmark.gpu import reference
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import PRECISIONS, Config
from jaxneurons.counting import ngram_coverage
from jaxneurons.model import attention, block, embed
from jaxneurons.stream import loop

LAYERS = 2
# Percent. Float32 sums in another order move 0.0001 % of masks, TF32 in its place 0.01 %.
MOST_MASKS = 0.001
# Percent of the largest value: a few roundings of bfloat16.
MOST_ATTENTION = 3
# Name, type and precision of the products; at "default" a recent GPU multiplies float32 as TF32.
ARITHMETICS = (
    ("true float32", "float32", "highest"),
    ("float32 or TF32", "float32", "default"),
    ("float16", "float16", "highest"),
    ("bfloat16", "bfloat16", "highest"),
)


def arithmetics() -> list[tuple[str, str, str]]:
    """`ARITHMETICS`, on accelerators with the other ways to multiply float32."""
    others = [
        (f"float32 by {name}", "float32", precision)
        for name, precision in PRECISIONS.items()
        if name != "highest"
    ]
    return [*ARITHMETICS, *(others if jax.default_backend() != "cpu" else [])]


def against_reference(sizes: Sizes) -> Iterator[Figure]:
    """Logits and activation masks in every arithmetic and head size, against float64 on the CPU."""
    for head_size in sizes.head_sizes:
        case = _case(sizes, head_size)
        embedding, layers = _float16_parameters(case.config)
        tokens = workload.make_tokens(case)
        wide = [_float64(params) for params in (embedding, *layers)]
        wanted = reference.forward(case.config, wide[0], wide[1:], tokens)
        for name, dtype, precision in arithmetics():
            compute = _forward(case.config, dtype, precision)
            found = jax.device_get(compute(embedding, layers, tokens))
            error, differing = _differences(found, wanted)
            which = f"head size {head_size}, {name}"
            yield Figure(f"{which}: error of logits", 100 * error, "% of the largest")
            is_wrong = name == "true float32" and 100 * differing > MOST_MASKS
            name = f"{which}: masks that differ"
            yield Figure(name, 100 * differing, "%", is_wrong)


def _case(sizes: Sizes, head_size: int) -> Workload:
    """A small model, and one window for it."""
    hidden = sizes.heads * head_size
    config = Config(
        vocab_size=512,
        hidden_size=hidden,
        ffn_dim=4 * hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.positions,
    )
    return workload.checked(
        config,
        layers=None,
        tokens=sizes.positions,
        window=sizes.positions,
        windows_per_batch=1,
        dtype="float16",
    )


def _float16_parameters(config: Config) -> tuple[Any, list[Any]]:
    """Parameters as they are published, so that none is rounded but by bfloat16."""
    layers = [block.parameter_shapes(config)] * config.num_hidden_layers
    shapes = [embed.parameter_shapes(config), *layers]
    made = [ours.random_parameters(each, seed) for seed, each in enumerate(shapes)]
    embedding, *rest = jax.tree.map(lambda p: np.asarray(p, np.float16), made)
    return embedding, rest


def _float64(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(np.float64), params)


def _forward(config: Config, dtype: str, precision: str) -> Callable[..., Any]:
    """(embedding, layers, tokens) to what `reference.forward` gives."""
    layer = block.Block(config, precision=precision)

    @jax.jit
    def forward(
        embedding: Any, layers: list[Any], tokens: jax.Array
    ) -> tuple[list[jax.Array], jax.Array]:
        x = embed.embed(config, embedding, tokens, dtype=jnp.dtype(dtype))
        activations = []
        for params in layers:
            x, activation = layer.apply({"params": params}, x)
            activations.append(activation)
        return activations, embed.logits(config, embedding, x, precision)

    return forward


def _differences(found: Any, wanted: Any) -> tuple[float, float]:
    """The largest error of logits over the largest of them, and the share of differing masks."""
    activations, logits = found
    error = np.abs(logits.astype(np.float64) - wanted[1]).max()
    pairs = zip(activations, wanted[0], strict=True)
    differing = np.mean([((a > 0) != (b > 0)).mean() for a, b in pairs])
    return float(error / np.abs(wanted[1]).max()), float(differing)


def fused_attention(sizes: Sizes) -> Iterator[Figure]:
    """cuDNN's attention against the plain form, by head size and type."""
    for head_size in sizes.head_sizes:
        for dtype in ("float16", "bfloat16"):
            name = f"head size {head_size}, {dtype}: cuDNN against chunked"
            if not attention.cudnn_runs(jnp.dtype(dtype), head_size):
                yield Figure(name, "not run: no cuDNN")
                continue
            shape = (2, sizes.positions, sizes.heads, head_size)
            keys = jax.random.split(jax.random.key(head_size), 3)
            query, key, value = (jax.random.normal(k, shape, dtype) for k in keys)
            query = query * head_size**-0.5
            fused, plain = (
                np.asarray(
                    attention.causal_attention(query, key, value, implementation=how),
                    np.float64,
                )
                for how in ("cudnn", "chunked")
            )
            difference = float(100 * np.abs(fused - plain).max() / np.abs(plain).max())
            # NaN is wrong too.
            is_wrong = not difference <= MOST_ATTENTION
            yield Figure(name, difference, "% of the largest", is_wrong)


def integers(sizes: Sizes) -> Iterator[Figure]:
    """All reductions on the same masks, here and on the CPU."""
    case = sizes.workload(next(iter(sizes.shapes)))
    random = np.random.default_rng(0)
    shape = (case.windows, case.window, case.config.ffn_dim)
    active = random.random(shape, np.float32) < random.random(case.config.ffn_dim) ** 3
    here, there = (
        _reduced(case, active, device)
        for device in (jax.devices()[0], jax.devices("cpu")[0])
    )
    yield Figure("arrays compared with the CPU's", len(there))
    wrong = ", ".join(differing(here, there))
    yield Figure("arrays that differ", wrong or "none", is_wrong=bool(wrong))


def differing(
    here: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray]
) -> list[str]:
    """The names of the arrays that are not equal, NaN being equal to NaN."""
    return [
        name
        for name, array in there.items()
        # Where there is no example its value is NaN.
        if not np.array_equal(here[name], array, equal_nan=array.dtype.kind == "f")
    ]


def _reduced(
    case: Workload, active: np.ndarray, device: jax.Device
) -> dict[str, np.ndarray]:
    mesh = devices.mesh_over([device])
    spread = devices.Spread(case.windows, case.windows_per_batch, mesh)
    windows = ours.make_windows(case)
    with jax.default_device(device):
        reduction = ours.make_reduction(case, windows, "everything", spread)
        update = jax.jit(reduction.update)
        state = reduction.init()
        for batch in loop.make_batches(windows, case.config, spread):
            first = int(batch.first_window[0])
            activation = jnp.asarray(
                active[first : first + case.windows_per_batch], jnp.float32
            )
            batch = batch._replace(first_window=batch.first_window[0])
            state = update(state, activation, batch)
        states = jax.tree.map(lambda leaf: leaf[None], state)
        states = jax.device_put(states, devices.sharded(mesh))
        found = reduction.finalize(reduction.merge(states))
        return ngram_coverage.join_candidates(found)

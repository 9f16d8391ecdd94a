"""Which tokens a neuron promotes and suppresses: the ends of its projections (paper §4.4).

In: a neuron's output row and the unembedding. Out: the tokens of the highest and of the lowest
projections. Neurons are taken in blocks, so that the projections of a layer, neurons x vocabulary,
are never held. Searching all of them would take as long as the product: so the largest of each
chunk of the vocabulary is found first, which the few highest projections cannot hide from, and then
the chunks of the largest are searched.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Tokens of a chunk, and neurons of a block.
CHUNK = 256
NEURONS_PER_BLOCK = 128


class Ends(NamedTuple):
    """The k tokens at either end of a neuron's projections; -1 and NaN where there are fewer.

    Attributes:
        promoted_token: int32[k], highest projection first, ties by token.
        promoted_projection: float32[k].
        suppressed_token: int32[k], lowest projection first, ties by token.
        suppressed_projection: float32[k].
        finite: bool[], whether all projections are.
    """

    promoted_token: jax.Array
    promoted_projection: jax.Array
    suppressed_token: jax.Array
    suppressed_projection: jax.Array
    finite: jax.Array


def projection_ends(output: jax.Array, unembedding: jax.Array, number: int) -> Ends:
    """The tokens that one neuron promotes and suppresses most.

    >>> unembedding = jnp.array([[0.0, 1.0], [3.0, 0.0]])
    >>> projection_ends(jnp.array([1.0, 2.0]), unembedding, 1).promoted_token
    Array([1], dtype=int32)

    Args:
        output: float32[E], the neuron's row of the second FFN matrix, after `project_out` where
            there is one.
        unembedding: float32[V, E].
        number: k.
    """
    projection = jnp.einsum("e,ve->v", output, unembedding, precision="highest")
    promoted, suppressed = (_highest(sign * projection, number) for sign in (1, -1))
    return Ends(
        promoted_token=promoted[0],
        promoted_projection=promoted[1],
        suppressed_token=suppressed[0],
        suppressed_projection=-suppressed[1],
        finite=jnp.isfinite(promoted[2]) & jnp.isfinite(suppressed[2]),
    )


def make_layer_ends(
    unembedding: np.ndarray, project_out: np.ndarray | None, number: int
) -> Callable[[np.ndarray], Ends]:
    """Makes the function that does it for all neurons of a layer.

    Args:
        unembedding: float[V, E], rows of the tokens that mean something; they stay on the device.
        project_out: float[D, E]; None where the model has none.
        number: k.

    Returns:
        From the kernel of the layer's second FFN matrix, float[F, D], to host arrays with a leading
        axis of F.
    """
    on_device = jax.device_put((unembedding, project_out))
    unembedding, project_out = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), on_device
    )

    def layer_ends(kernel: np.ndarray) -> Ends:
        return jax.device_get(_layer_ends(kernel, project_out, unembedding, number))

    return layer_ends


@functools.partial(jax.jit, static_argnames="number")
def _layer_ends(
    kernel: jax.Array,
    project_out: jax.Array | None,
    unembedding: jax.Array,
    number: int,
) -> Ends:
    output = kernel.astype(jnp.float32)
    if project_out is not None:
        output = jnp.matmul(output, project_out, precision="highest")
    chex.assert_equal_shape_suffix([output, unembedding], 1)
    return jax.lax.map(
        lambda row: projection_ends(row, unembedding, number),
        output,
        batch_size=NEURONS_PER_BLOCK,
    )


def _highest(values: jax.Array, number: int) -> tuple[jax.Array, ...]:
    """Indices int32[k] and values float32[k] of the highest of float32[V]; the highest, or NaN."""
    chunks = -(-len(values) // CHUNK)
    index = jnp.arange(chunks * CHUNK, dtype=jnp.int32)
    filled = jnp.pad(values, (0, len(index) - len(values)), constant_values=-jnp.inf)
    by_chunk = filled.reshape(chunks, CHUNK)
    largest = by_chunk.max(axis=1)
    _, best = jax.lax.top_k(largest, min(number, chunks))
    # Ascending, so that of equal values that of the lowest index comes first.
    best = jnp.sort(best)
    inside = by_chunk[best].reshape(-1)
    value, place = jax.lax.top_k(inside, number)
    found = index.reshape(chunks, CHUNK)[best].reshape(-1)[place]
    missing = jnp.isneginf(value)
    found = jnp.where(missing, -1, found)
    value = jnp.where(missing, np.float32(np.nan), value)
    return found, value, largest.max()

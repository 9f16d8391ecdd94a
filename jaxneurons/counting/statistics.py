"""Statistics of one neuron from its counts: pure JAX functions, which `jax.vmap` maps over neurons.

In: integer counts of a neuron. Out: its mutual information with position, its coverage, whether it
is an n-gram detector, as `jaxneurons/stats/README.md` defines them. A study calls
`position_information`.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

# One window shows every position once, so that each looks like always or never.
FEWEST_WINDOWS = 2
# Neurons whose mutual information is computed together.
NEURONS_PER_BLOCK = 256


def positional_information(count: jax.Array, windows: int | jax.Array) -> jax.Array:
    """The mutual information between a neuron's firing and the position (paper §5.1, Appendix B.1).

    >>> with jax.enable_x64(True):
    ...     on_in_the_first_half = jnp.array([4, 4, 0, 0])
    ...     print(jaxneurons.counting.positional_information(on_in_the_first_half, windows=4))
    0.6931471805599453

    Args:
        count: int[T], full windows in which the neuron is active at each position.
        windows: full windows counted.

    Returns:
        float[], nats; float64 under `jax.enable_x64`. NaN below 2 windows.
    """
    real = jnp.result_type(float)
    share = count.astype(real) / jnp.asarray(windows, real)
    return _information(_negative_entropy(share), count, windows)


def coverage(activations: jax.Array, share: Fraction | float = 0.95) -> jax.Array:
    """The fewest distinct n-grams that account for a share of a neuron's activations (paper §4.1).

    >>> jaxneurons.counting.coverage(jnp.array([1, 90, 5, 4])).item()
    2

    Args:
        activations: int[G], the neuron's activations on each distinct n-gram.
        share: of all its activations.

    Returns:
        int[], 0 for a neuron without activations.
    """
    needed = at_least(activations.sum(), share)
    largest_first = jnp.sort(activations, descending=True)
    short = jnp.cumsum(largest_first) - largest_first < needed
    return jnp.sum(short & (largest_first > 0))


def is_detector(
    activations: jax.Array,
    occurrences: jax.Array,
    most_ngrams: int,
    share: Fraction = Fraction(95, 100),
    trigger_share: Fraction = Fraction(95, 100),
) -> jax.Array:
    """Whether a neuron is an n-gram detector (paper §4.2).

    >>> activations, occurrences = jnp.array([90, 1, 8]), jnp.array([91, 50, 8])
    >>> jaxneurons.counting.is_detector(activations, occurrences, most_ngrams=5).item()
    True

    Args:
        activations: int[G], the neuron's activations on each distinct n-gram.
        occurrences: int[G], how often each n-gram occurs.
        most_ngrams: the largest coverage of a detector; the paper has 5 for tokens and 50 for
            longer n-grams.
        share: of its activations, which its coverage and its triggers must account for.
        trigger_share: of a trigger's occurrences, on which the neuron is active.

    Returns:
        bool[].
    """
    covered = coverage(activations, share)
    triggers = activations >= at_least(occurrences, trigger_share)
    accounted = jnp.sum(jnp.where(triggers, activations, 0))
    enough = accounted >= at_least(activations.sum(), share)
    return (covered > 0) & (covered <= most_ngrams) & enough


def at_least(total: jax.Array, share: Fraction | float) -> jax.Array:
    """The least integers >= share * total int[...], without a product that could overflow."""
    # A float such as 0.95 means its decimals, not the nearest binary fraction.
    share = Fraction(share).limit_denominator(10**6)
    whole, rest = jnp.divmod(total, share.denominator)
    return share.numerator * whole - (-share.numerator * rest) // share.denominator


def position_information(
    position_count: jax.Array | np.ndarray, windows: Sequence[int]
) -> np.ndarray:
    """The mutual information of every neuron of a layer, computed where the counts lie.

    Args:
        position_count: int[domain, T, F], full windows in which a neuron is active at a position.
        windows: full windows of each domain.

    Returns:
        float64[domain + 1, F], nats; the last row is over all domains. NaN below 2 windows.
    """
    return np.asarray(begin_position_information(position_count, windows))


def begin_position_information(
    position_count: jax.Array | np.ndarray, windows: Sequence[int]
) -> jax.Array:
    """What `position_information` gives, on the device; does not wait for it."""
    several = len(windows) > 1
    numbers = np.array([*windows, sum(windows)][: None if several else 1], np.int64)
    with jax.enable_x64(True):
        # A power of two, so that few sizes are compiled.
        size = 1 << int(numbers.max()).bit_length()
        found = _by_blocks(position_count, jax.device_put(numbers), size)
        return found if several else jnp.concatenate([found, found])


@functools.partial(jax.jit, static_argnames="size")
def _by_blocks(position_count: jax.Array, windows: jax.Array, size: int) -> jax.Array:
    """float64[len(windows), F], in blocks: at once they take eight times the counts' memory.

    All counts must be below `size`. Their entropies are looked up, since a logarithm takes many
    times as long.
    """
    domains, _, neurons = position_count.shape
    width = min(neurons, NEURONS_PER_BLOCK)
    shares = jnp.minimum(jnp.arange(size)[None, :] / windows[:, None], 1)
    tables = _negative_entropy(shares)

    def of_neurons(row: int, counts: jax.Array) -> jax.Array:
        terms = tables[row].at[counts].get(mode="promise_in_bounds")
        return _information(terms, counts, windows[row])

    def add_block(number: jax.Array, found: jax.Array) -> jax.Array:
        first = jnp.minimum(number * width, neurons - width)
        block = jax.lax.dynamic_slice_in_dim(position_count, first, width, axis=2)
        rows = [of_neurons(row, block[row]) for row in range(domains)]
        if len(windows) > domains:
            pooled = jnp.sum(block, axis=0, dtype=jnp.int64)
            rows.append(of_neurons(domains, pooled))
        return jax.lax.dynamic_update_slice_in_dim(found, jnp.stack(rows), first, 1)

    found = jnp.zeros((len(windows), neurons))
    return jax.lax.fori_loop(0, -(-neurons // width), add_block, found)


def _information(
    terms: jax.Array, count: jax.Array, windows: int | jax.Array
) -> jax.Array:
    """What `positional_information` gives of int[T, ...]; terms: negative entropies of the shares."""
    number = jnp.asarray(windows, terms.dtype) * len(count)
    mean = jnp.sum(count, axis=0, dtype=int).astype(terms.dtype) / number
    information = jnp.mean(terms - _negative_entropy(mean)[None], axis=0)
    # Rounding would leave a flat pattern slightly above 0.
    flat = jnp.all(count == count[:1], axis=0)
    information = jnp.where(flat, 0, jnp.maximum(information, 0))
    return jnp.where(windows < FEWEST_WINDOWS, jnp.nan, information)


def _negative_entropy(share: jax.Array) -> jax.Array:
    """p·ln p + (1−p)·ln(1−p), with 0·ln 0 = 0."""
    return jax.scipy.special.xlogy(share, share) + jax.scipy.special.xlogy(
        1 - share, 1 - share
    )

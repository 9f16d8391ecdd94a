"""Activation counts as `Reduction`s: by domain (paper §3), and by domain and position (§5).

In: batches of activations. Out: integer host arrays.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxneurons.counting import statistics
from jaxneurons.counting.reductions import (
    Batch,
    Reduction,
    State,
    active,
    rows_of_chunks,
    to_host,
)


def activation_counts(domains: int, neurons: int) -> Reduction:
    """Counts activations by domain (paper §3).

    >>> firing = jaxneurons.counting.activation_counts(len(text.names), model.config.ffn_dim)
    >>> layer, found = next(jaxneurons.count(model, text, firing))
    >>> found["activation_count"].shape
    (4, 1024)

    Gives `activation_count`, over every token that is not padding, and
    `special_activation_count`, the part of it on special tokens; both int64[domain, F].
    """

    def init() -> State:
        return jnp.zeros((2, domains, neurons), jnp.int32)

    def update(state: State, activation: jax.Array, batch: Batch) -> State:
        counted = jnp.stack([batch.valid, batch.special])[..., None]
        rows = zip(rows_of_chunks(activation), rows_of_chunks(counted), strict=True)
        fires = [(active(row)[None] & c).astype(jnp.uint8) for row, c in rows]
        in_bytes = functools.reduce(jnp.add, fires)
        per_window = jnp.sum(in_bytes, axis=-2, dtype=jnp.int32)
        return state.at[:, batch.domain].add(per_window)

    def finalize(state: State) -> dict[str, np.ndarray]:
        counts = np.asarray(state).astype(np.int64)
        return {
            "activation_count": counts[0],
            "special_activation_count": counts[1],
        }

    return Reduction(init, update, finalize)


def position_counts(
    domains: int, positions: int, neurons: int, windows: Sequence[int] | None = None
) -> Reduction:
    """Counts activations by domain and position over full windows (paper §5.1).

    >>> places = jaxneurons.counting.position_counts(
    ...     len(text.names), 64, model.config.ffn_dim, text.full_windows()
    ... )
    >>> layer, found = next(jaxneurons.count(model, text, places))
    >>> found["position_count"].shape, found["mutual_information"].shape
    ((4, 64, 1024), (5, 1024))

    Gives `position_count`, uint32[domain, T, F], and with `windows`, all full windows of each
    domain, `mutual_information`, float64[domain + 1, F] in nats, the last row over all domains.
    With `windows`, the state's integers are only as wide as the largest of them needs, so no domain
    may have more full windows than it says.
    """

    # The state is read and written with every batch, so the narrower the faster.
    most = np.iinfo(np.uint32).max if windows is None else max(windows)
    dtype = np.min_scalar_type(most)

    def init() -> State:
        return jnp.zeros((domains, positions, neurons), dtype)

    def update(state: State, activation: jax.Array, batch: Batch) -> State:
        fires = active(activation)

        # The windows of a domain together, so that the large state is read and written once for
        # each domain from the batch's first to its last, which usually are one.
        def add_domain(domain: jax.Array, state: State) -> State:
            counted = batch.full & (batch.domain == domain)
            number = jnp.sum(fires & counted[:, None, None], axis=0, dtype=dtype)
            return state.at[domain].add(number)

        first = jnp.min(jnp.where(batch.full, batch.domain, domains))
        last = jnp.max(jnp.where(batch.full, batch.domain, -1))
        return jax.lax.fori_loop(first, last + 1, add_domain, state)

    def finalize(state: State) -> dict[str, jax.Array]:
        found = {"position_count": to_host(state.astype(jnp.uint32))}
        if windows is not None:
            information = statistics.begin_position_information(state, windows)
            found["mutual_information"] = to_host(information)
        return found

    return Reduction(init, update, finalize)

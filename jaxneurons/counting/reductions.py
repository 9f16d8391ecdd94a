"""What is counted while the model runs: a `Reduction` is a value made of pure functions.

In: each batch of one layer's activations, once. Out: named host arrays. States hold integers where
they are sums, so that any split of the text, over batches or devices, gives the same bits. Every
device keeps a state of its own until the layer is done. `chain` makes one reduction of several.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

State = Any
# Most positions of a chunk in `rows_of_chunks`; above 255 a count in uint8 could overflow.
LARGEST_CHUNK = 32


class Batch(NamedTuple):
    """What a reduction may know of a batch of B windows of T tokens, or of a device's part of it.

    Attributes:
        tokens: int32[B, T].
        valid: bool[B, T], not padding.
        special: bool[B, T], valid and one of the model's special tokens.
        domain: int32[B], index of the window's domain.
        full: bool[B], whether the window has T tokens.
        first_window: int32[], index of the batch's first window in the whole text; the others
            follow it. Windows that only fill the last batch up have nothing valid and are not full.
    """

    tokens: jax.Array
    valid: jax.Array
    special: jax.Array
    domain: jax.Array
    full: jax.Array
    first_window: jax.Array


def active(activation: jax.Array) -> jax.Array:
    """The activation mask, bool[B, T, F]: which neurons fire on which token (paper §3).

    >>> jaxneurons.counting.active(jnp.array([[[0.0, 0.3]]])).tolist()
    [[[False, True]]]
    """
    return activation > 0


def rows_of_chunks(x: jax.Array) -> list[jax.Array]:
    """Splits [..., T, F] into n arrays [..., T / n, F]; array i has row i of every chunk of n positions.

    n is the largest divisor of T up to 32. On a CPU an elementwise expression over the n arrays is
    one vectorized loop, which reads `x` once; where n is 1, as for a prime T, nothing is gained.
    """
    *leading, length, width = x.shape
    size = max(n for n in range(1, LARGEST_CHUNK + 1) if length % n == 0)
    # Flattened, as the next matrix product reads it; otherwise XLA on a CPU writes a second copy.
    rows = x.reshape(-1, width)
    shape = (*leading, length // size, width)
    return [rows[i::size].reshape(shape) for i in range(size)]


@jax.jit
def add_states(states: State) -> State:
    """The sum of all devices' states, whose arrays have a leading axis of devices."""
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0, dtype=leaf.dtype), states)


def to_host(x: jax.Array) -> jax.Array:
    """Begins to copy an array to the host's pinned memory, to which a device copies beside computing."""
    if x.is_fully_replicated:
        x = x.addressable_data(0)
    return jax.device_put(x, x.sharding.with_memory_kind("pinned_host"))


class Init(Protocol):
    """Makes a device's state before a layer's first batch."""

    def __call__(self) -> State:
        """Returns a pytree of arrays: zeros where states are added."""


class Update(Protocol):
    """Adds one batch to a device's state; compiled into one executable with the block."""

    def __call__(self, state: State, activation: jax.Array, batch: Batch, /) -> State:
        """Returns the next state.

        Args:
            state: the state so far, which is donated: its memory becomes that of the next one.
            activation: float[B, T, F], the neurons' values after the nonlinearity, in the type to
                compute in; `active` gives the mask. Rows of padding hold values too, so mask them
                by `batch.valid`.
            batch: the windows that the activations belong to.
        """


class Finalize(Protocol):
    """Turns the state after a layer's last batch into results."""

    def __call__(self, state: State, /) -> dict[str, Any]:
        """Returns host arrays by name, NumPy's or those that `to_host` gives.

        Args:
            state: that of all devices, as `Merge` gives it. What may be too much to hold at once
                may be an iterator of dicts of arrays instead of an array.
        """


class Merge(Protocol):
    """Makes one state of all devices' at the end of a layer."""

    def __call__(self, states: State, /) -> State:
        """Returns the state of all devices together.

        Args:
            states: one pytree whose arrays have a leading axis of devices, each of which holds its
                own part; it may be donated.
        """


class Reduction(NamedTuple):
    """A statistic of one layer, as four pure functions.

    >>> def update(state, activation, batch):
    ...     counted = jnp.where(batch.valid[..., None], activation, 0)
    ...     return jnp.maximum(state, counted.max((0, 1)))
    >>> largest = jaxneurons.Reduction(
    ...     init=lambda: jnp.zeros(model.config.ffn_dim),
    ...     update=update,
    ...     finalize=lambda state: {"largest": np.asarray(state)},
    ...     merge=lambda states: states.max(axis=0),
    ... )
    >>> for layer, found in jaxneurons.count(model, text, largest, layers=(0, 1)):
    ...     print(layer, found["largest"].shape)
    0 (1024,)
    1 (1024,)

    Attributes:
        init: see `Init`.
        update: see `Update`.
        finalize: see `Finalize`.
        merge: see `Merge`; by default the states of all devices are added.
    """

    init: Init
    update: Update
    finalize: Finalize
    merge: Merge = add_states


def chain(*reductions: Reduction) -> Reduction:
    """Several reductions as one, counted in one run; their arrays must differ in name.

    >>> domains, neurons = len(text.names), model.config.ffn_dim
    >>> both = jaxneurons.chain(
    ...     jaxneurons.counting.activation_counts(domains, neurons),
    ...     jaxneurons.counting.position_counts(domains, 64, neurons),
    ... )
    >>> layer, found = next(jaxneurons.count(model, text, both))
    >>> sorted(found)
    ['activation_count', 'position_count', 'special_activation_count']

    Raises:
        ValueError: two of them give an array of the same name; raised by `finalize`.
    """

    # JAX keeps what it compiled, and with it `init` and `update`, which must not keep the rest.
    inits = [reduction.init for reduction in reductions]
    updates = [reduction.update for reduction in reductions]

    def init() -> State:
        return tuple(init() for init in inits)

    def update(state: State, activation: jax.Array, batch: Batch) -> State:
        pairs = zip(updates, state, strict=True)
        return tuple(update(part, activation, batch) for update, part in pairs)

    def finalize(state: State) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for reduction, part in zip(reductions, state, strict=True):
            found = reduction.finalize(part)
            if both := sorted(arrays.keys() & found.keys()):
                raise ValueError(f"two chained reductions give the arrays {both}")
            arrays |= found
        return arrays

    def merge(states: State) -> State:
        pairs = zip(reductions, states, strict=True)
        return tuple(reduction.merge(part) for reduction, part in pairs)

    return Reduction(init, update, finalize, merge)

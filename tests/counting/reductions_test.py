"""Counts against plain NumPy, over any split of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons import devices
from jaxneurons.counting import counts, reductions
from tests.support import cases

WINDOWS, LENGTH, NEURONS, DOMAINS = 6, 5, 11, 3


def random_data(seed, length=LENGTH):
    """Masks and what there is to know of the windows, as NumPy arrays."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, length + 1, WINDOWS)
    valid = np.arange(length)[None, :] < lengths[:, None]
    return {
        "active": rng.random((WINDOWS, length, NEURONS)) < 0.4,
        "tokens": rng.integers(0, 9, (WINDOWS, length)).astype(np.int32),
        "valid": valid,
        "special": valid & (rng.random((WINDOWS, length)) < 0.3),
        "domain": rng.integers(0, DOMAINS, WINDOWS).astype(np.int32),
        "full": lengths == length,
    }


def reduce_in_batches(reduction, data, size):
    """Runs a reduction as the stream does, jitted, in batches of `size` windows."""
    update = jax.jit(reduction.update, donate_argnums=0)
    state = reduction.init()
    for first in range(0, WINDOWS, size):
        part = {
            key: jnp.asarray(value[first : first + size]) for key, value in data.items()
        }
        activation = part.pop("active").astype(jnp.float32)
        batch = reductions.Batch(**part, first_window=jnp.int32(first))
        state = update(state, activation, batch)
    return reduction.finalize(state)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 6]),
    st.sampled_from([5, 37, 64]),
)
def test_activation_counts(seed, size, length):
    data = random_data(seed, length)
    found = reduce_in_batches(counts.activation_counts(DOMAINS, NEURONS), data, size)
    for domain in range(DOMAINS):
        mine = data["active"] & (data["domain"] == domain)[:, None, None]
        counted = (mine & data["valid"][..., None]).sum((0, 1))
        special = (mine & data["special"][..., None]).sum((0, 1))
        np.testing.assert_array_equal(found["activation_count"][domain], counted)
        np.testing.assert_array_equal(
            found["special_activation_count"][domain], special
        )
    assert found["activation_count"].dtype == np.int64


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 6]))
def test_position_counts(seed, size):
    data = random_data(seed)
    reduction = counts.position_counts(DOMAINS, LENGTH, NEURONS)
    found = reduce_in_batches(reduction, data, size)["position_count"]
    for domain in range(DOMAINS):
        mine = data["full"] & (data["domain"] == domain)
        np.testing.assert_array_equal(found[domain], data["active"][mine].sum(0))


@cases.each("windows", [[255, 3], [256, 255], [65_535, 3], [65_536, 9]])
def test_position_counts_of_neurons_that_are_always_active_do_not_overflow(windows):
    total = sum(windows)
    everywhere = jnp.ones((total, 1), bool)
    batch = reductions.Batch(
        tokens=jnp.zeros((total, 1), jnp.int32),
        valid=everywhere,
        special=~everywhere,
        domain=jnp.repeat(jnp.arange(2, dtype=jnp.int32), np.array(windows)),
        full=everywhere[:, 0],
        first_window=jnp.int32(0),
    )
    reduction = counts.position_counts(2, 1, 1, windows)
    state = reduction.update(reduction.init(), jnp.ones((total, 1, 1)), batch)
    found = reduction.finalize(state)["position_count"]
    assert found.dtype == np.uint32
    assert np.asarray(found)[:, 0, 0].tolist() == windows


def test_counts_come_to_the_memory_that_a_device_copies_to_by_itself():
    x = jnp.arange(6, dtype=jnp.uint32).reshape(2, 3)
    for placement in (devices.replicated, devices.sharded):
        there = jax.device_put(x, placement(devices.make_mesh(1)))
        found = reductions.to_host(there)
        assert found.sharding.memory_kind == "pinned_host"
        np.testing.assert_array_equal(np.asarray(found), x)


def test_counts_of_a_neuron_that_is_always_active_do_not_overflow():
    active = jnp.ones((1, 1024, 1), bool)
    everywhere = jnp.ones((1, 1024), bool)
    batch = reductions.Batch(
        tokens=jnp.zeros((1, 1024), jnp.int32),
        valid=everywhere,
        special=everywhere.at[0, 0].set(False),
        domain=jnp.zeros(1, jnp.int32),
        full=jnp.ones(1, bool),
        first_window=jnp.int32(0),
    )
    one = counts.activation_counts(1, 1)
    found = one.finalize(one.update(one.init(), active.astype(jnp.float32), batch))
    assert found["activation_count"].tolist() == [[1024]]
    assert found["special_activation_count"].tolist() == [[1023]]


@cases.each("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_all_that_counts_sees_the_same_neurons_fire(dtype):
    """Also those whose value is hardly above 0 in the type that a compiler may compute in."""
    data = random_data(0, 64)
    data["domain"][:], data["full"][:], data["valid"][:] = 0, True, True
    x = np.random.default_rng(1).normal(0, 1e-5, (WINDOWS, 64, 8)).astype(np.float32)
    kernel = np.random.default_rng(2).normal(0, 1e-3, (8, NEURONS)).astype(np.float32)
    reduction = reductions.chain(
        counts.activation_counts(1, NEURONS), counts.position_counts(1, 64, NEURONS)
    )

    @jax.jit
    def count(x, kernel, batch):
        activation = jax.nn.relu(x.astype(dtype) @ kernel.astype(dtype))
        return activation, reduction.update(reduction.init(), activation, batch)

    del data["active"]
    batch = reductions.Batch(**data, first_window=jnp.int32(0))
    activation, state = count(x, kernel, batch)
    found = reduction.finalize(state)
    fired = (np.asarray(activation.astype(jnp.float32)) > 0).sum(axis=0)
    np.testing.assert_array_equal(found["position_count"][0], fired)
    np.testing.assert_array_equal(found["activation_count"][0], fired.sum(axis=0))


def test_chain_gives_all_and_refuses_a_name_twice():
    data = random_data(0)
    activations = counts.activation_counts(DOMAINS, NEURONS)
    positions = counts.position_counts(DOMAINS, LENGTH, NEURONS)
    both = reduce_in_batches(reductions.chain(activations, positions), data, 2)
    alone = reduce_in_batches(activations, data, 3)
    assert both.keys() == alone.keys() | {"position_count"}
    for name, counted in alone.items():
        np.testing.assert_array_equal(both[name], counted)
    with pytest.raises(ValueError, match="activation_count"):
        reduce_in_batches(reductions.chain(activations, activations), data, 2)

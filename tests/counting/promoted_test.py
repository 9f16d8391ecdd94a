"""Tokens at the ends of projections against a product in float64: any sizes, ties, and weights that are not finite."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons.counting import promoted
from tests.support import cases

NUMBER = 4


def assert_ends(found, projections):
    """The tokens are those of a sort of exact projections [F, V], ties by token."""
    for end, sign in (("promoted", -1), ("suppressed", 1)):
        order = np.argsort(sign * projections, axis=1, kind="stable")[:, :NUMBER]
        used = order.shape[1]
        token, value = (getattr(found, f"{end}_{of}") for of in ("token", "projection"))
        np.testing.assert_array_equal(token[:, :used], order)
        expected = np.take_along_axis(projections, order, axis=1)
        np.testing.assert_array_equal(value[:, :used], expected)
        assert (token[:, used:] == -1).all() and np.isnan(value[:, used:]).all()
    assert found.finite.all()


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.sampled_from([1, 256, 1000]),
    neurons=st.sampled_from([5, 130]),
    largest=st.sampled_from([1, 1000]),
)
def test_ends_are_those_of_a_sort(seed, tokens, neurons, largest):
    # Integers are exact in float32, and have ties: with 1, hardly anything else.
    rng = np.random.default_rng(seed)
    unembedding, kernel = (
        rng.integers(-largest, largest + 1, (rows, 3)).astype(np.float32)
        for rows in (tokens, neurons)
    )
    found = promoted.make_layer_ends(unembedding, None, NUMBER)(kernel)
    assert_ends(found, kernel.astype(np.float64) @ unembedding.T)


def test_outputs_pass_through_project_out():
    rng = np.random.default_rng(0)
    shapes = [(20, 5), (9, 7), (7, 5)]
    unembedding, kernel, project_out = (
        rng.integers(-9, 10, shape).astype(np.float16) for shape in shapes
    )
    found = promoted.make_layer_ends(unembedding, project_out, NUMBER)(kernel)
    exact = kernel.astype(np.float64) @ project_out @ unembedding.T
    assert_ends(found, exact)


@cases.each("value", [np.nan, np.inf, -np.inf])
def test_neurons_whose_projections_are_not_finite_are_told(value):
    kernel = np.ones((5, 3), np.float32)
    kernel[2, 1] = value
    unembedding = np.full((300, 3), 0.5, np.float32)
    found = promoted.make_layer_ends(unembedding, None, NUMBER)(kernel)
    assert found.finite.tolist() == [True, True, False, True, True]

"""Bounds of pre-activations against inputs that reach them, and summaries against counts by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons import config
from jaxneurons.run import layer_end
from jaxneurons.stats import activation
from tests.support import cases

SIZE, NEURONS = 7, 5


def random_layer(seed, neurons=NEURONS):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((SIZE, neurons)),
        rng.standard_normal(neurons),
        rng.standard_normal(SIZE),
        rng.standard_normal(SIZE),
    )


def normalized(x):
    """LayerNorm without scale, offset and epsilon, of [..., D]."""
    x = x - x.mean(-1, keepdims=True)
    return x / x.std(-1, keepdims=True)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_bounds_hold_and_are_reached(seed):
    kernel, bias, scale, offset = random_layer(seed)
    low, high = activation.preactivation_bounds(kernel, bias, scale, offset)
    rng = np.random.default_rng(seed)
    inputs = normalized(rng.standard_normal((1000, SIZE))) * scale + offset
    values = inputs @ kernel + bias
    assert (values <= high + 1e-9).all()
    assert (values >= low - 1e-9).all()
    # The input along a neuron's own scaled weights is the worst case.
    worst = normalized((scale[:, None] * kernel).T) * scale + offset
    reached = np.einsum("fd,df->f", worst, kernel) + bias
    np.testing.assert_allclose(reached, high)
    opposite = normalized(-(scale[:, None] * kernel).T) * scale + offset
    np.testing.assert_allclose(np.einsum("fd,df->f", opposite, kernel) + bias, low)


def test_bounds_do_not_depend_on_blocks():
    kernel, bias, *norm = random_layer(0, activation.NEURONS_PER_BLOCK + 2)
    whole = activation.preactivation_bounds(kernel, bias, *norm)
    last = activation.preactivation_bounds(kernel[:, -5:], bias[-5:], *norm)
    np.testing.assert_allclose(np.stack(whole)[:, -5:], last)


@cases.each("before", [True, False])
@cases.each("affine", [True, False])
@cases.each("enable_bias", [True, False])
def test_bounds_read_the_norm_that_the_network_reads(before, affine, enable_bias):
    kernel, bias, scale, offset = random_layer(1)
    model = config.Config(
        vocab_size=9,
        hidden_size=SIZE,
        ffn_dim=NEURONS,
        num_hidden_layers=1,
        num_attention_heads=1,
        do_layer_norm_before=before,
        layer_norm_elementwise_affine=affine,
        enable_bias=enable_bias,
    )
    fc1 = {"kernel": kernel} | ({"bias": bias} if enable_bias else {})
    read = "feed_forward_layer_norm" if before else "attention_layer_norm"
    other = "attention_layer_norm" if before else "feed_forward_layer_norm"
    params = {"feed_forward": {"fc1": fc1}}
    if affine:
        params[read] = {"scale": scale, "bias": offset}
        params[other] = {"scale": 9 * scale, "bias": 9 * offset}
    wanted = activation.preactivation_bounds(
        kernel,
        bias if enable_bias else 0 * bias,
        scale if affine else np.ones(SIZE),
        offset if affine else np.zeros(SIZE),
    )
    found = layer_end.layer_preactivation_bounds(model, params)
    np.testing.assert_array_equal(found, wanted)


def test_summary_by_hand():
    counts = np.array([[0, 0, 10, 40], [0, 1, 10, 60]])
    # The second neuron's bound is 0, and it is no proof of activity.
    bounds = np.array([-9.0, 0.0, -1.0, 0.1]), np.array([0.0, 1.0, 1.0, 9.0])
    summary = activation.summarize_layer(3, counts, {"a": 40, "b": 60}, *bounds)
    certified = {
        "certified_dead": 1,
        "certified_dead_share": 0.25,
        "certified_always_active": 1,
        "certified_always_active_share": 0.25,
    }
    assert summary == {
        "layer": 3,
        "neurons": 4,
        "dead": 1,
        "dead_share": 0.25,
        "mean_frequency_alive": 121 / 300,
        **certified,
        "domains": {
            "a": {"dead": 2, "dead_share": 0.5, "mean_frequency_alive": 50 / 80},
            "b": {"dead": 1, "dead_share": 0.25, "mean_frequency_alive": 71 / 180},
        },
    }
    unproven = activation.summarize_layer(
        3, counts, {"a": 40, "b": 60}, *bounds, can_certify=False
    )
    assert unproven == summary | dict.fromkeys(certified)


def test_layer_without_a_live_neuron_has_no_frequency():
    zeros = np.zeros((1, 3), int)
    summary = activation.summarize_layer(0, zeros, {"a": 5}, zeros[0], zeros[0])
    assert summary["dead_share"] == 1
    assert summary["mean_frequency_alive"] is None


def test_entropy_over_domains():
    # The second domain has half the tokens: 2 of 8 are as frequent there as 1 of 4.
    count = np.array([[2, 3, 0, 0, 6], [1, 0, 4, 0, 1]])
    found = activation.domain_entropy(count, [8, 4])
    third = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    expected = [np.log(2), 0, 0, np.nan, third]
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert np.isnan(activation.domain_entropy(count[:1], [8])).all()

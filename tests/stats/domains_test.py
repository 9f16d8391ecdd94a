"""Domain-specific neurons against their definition in words, neuron by neuron."""

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.stats import activation, domains
from tests.support import cases


def by_hand(entropy, frequency, criteria):
    """Ranks every alive neuron by its entropy, and by its frequency in each domain."""
    alive = [n for n in range(len(entropy)) if not np.isnan(entropy[n])]
    number = len(alive)
    found = np.zeros(frequency.shape, bool)
    for domain, neuron in np.ndindex(*frequency.shape):
        if neuron not in alive or frequency[domain, neuron] == 0:
            continue
        lower = sum(entropy[other] < entropy[neuron] for other in alive)
        higher = sum(
            frequency[domain, other] > frequency[domain, neuron] for other in alive
        )
        found[domain, neuron] = (
            lower < criteria.entropy_share * number
            and higher < criteria.frequency_share * number
        )
    return found


@cases.each("shares", [(0.01, 0.05), (0.2, 0.3), (0.5, 0.5), (1.0, 1.0)])
def test_specific_neurons_are_those_of_the_definition(shares):
    rng = np.random.default_rng(0)
    count = rng.poisson(rng.gamma(0.2, 20, (3, 150)))
    count[:, :20] = 0
    tokens = [100, 200, 400]
    entropy = activation.domain_entropy(count, tokens)
    frequency = count / np.array(tokens)[:, None]
    criteria = domains.Criteria(entropy_share=shares[0], frequency_share=shares[1])
    found = domains.specific(entropy, frequency, criteria)
    np.testing.assert_array_equal(found, by_hand(entropy, frequency, criteria))
    assert found.any() or shares[0] == 0.01
    section = domains.summarize(found.reshape(3, 2, 75), [4, 5], "abc", criteria)
    assert section["by_domain"] == dict(zip("abc", found.sum(axis=1), strict=True))
    assert section["layers"][1] == {
        "layer": 5,
        "by_domain": dict(zip("abc", found[:, 75:].sum(axis=1), strict=True)),
    }


def test_in_one_domain_no_neuron_is_specific():
    entropy = activation.domain_entropy(np.array([[3, 0, 5]]), [10])
    found = domains.specific(entropy, np.array([[0.3, 0, 0.5]]), domains.Criteria())
    assert not found.any()
    assert domains.summarize(found[:, None], [0], ["a"], domains.Criteria()) is None


@cases.each("share", [0, -1, 1.1, float("nan")])
def test_a_share_that_is_none(share):
    for name in ("entropy_share", "frequency_share"):
        with pytest.raises(errors.UsageError, match=f"{name} is {share}"):
            domains.Criteria(**{name: share})

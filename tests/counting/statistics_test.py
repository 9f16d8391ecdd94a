"""Statistics of one neuron: coverage and detectors against a dictionary, closed forms and the blocked counting."""

from fractions import Fraction

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxneurons import counting
from jaxneurons.counting import statistics
from jaxneurons.stats import detectors, thresholds
from tests.support import cases, study_oracle

SHARES = st.sampled_from([Fraction(95, 100), Fraction(1, 2), Fraction(1)])
# Of one length, so that every operation is compiled once: n-grams without activations change nothing.
ACTIVATIONS = st.lists(st.integers(0, 30), min_size=12, max_size=12)


@hypothesis.given(ACTIVATIONS, SHARES)
def test_coverage_is_the_fewest_ngrams_that_suffice(activations, share):
    found = int(counting.coverage(jnp.array(activations), share))
    largest_first = sorted(activations, reverse=True)
    needed = share * sum(activations)
    assert sum(largest_first[:found]) >= needed
    assert found == 0 or sum(largest_first[: found - 1]) < needed


@hypothesis.given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 22)), min_size=9, max_size=9)
)
def test_detectors_are_those_that_a_study_finds(pairs):
    """The same n-grams as candidates of `stats.detectors`, which a study calls."""
    pairs = [(min(pair), pair[1]) for pair in pairs]
    activations, occurrences = np.array(pairs, np.int32).T
    covered = np.array([int(counting.coverage(jnp.array(activations)))])
    candidates = detectors.Candidates(
        neuron=np.zeros(len(pairs), np.int32),
        activations=activations,
        occurrences=occurrences,
        ngram=np.arange(len(pairs), dtype=np.int32)[:, None],
    )
    total = np.array([activations.sum()])
    counts = detectors.LayerCounts(0, covered, total, [candidates])
    wanted = detectors.find_detectors(counts, thresholds.Criteria())
    found = counting.is_detector(jnp.array(activations), jnp.array(occurrences), 5)
    assert bool(found) == (len(wanted.neuron) == 1)


def test_large_counts_do_not_overflow():
    with jax.enable_x64(False):
        activations = jnp.array([2_000_000_000, 100_000_000], jnp.int32)
        assert int(counting.coverage(activations)) == 1
        assert (
            int(statistics.at_least(activations[0], Fraction(95, 100))) == 1_900_000_000
        )


def test_they_map_over_neurons():
    activations = jnp.array([[0, 0, 0], [5, 5, 5], [98, 1, 1]])
    assert jax.vmap(counting.coverage)(activations).tolist() == [0, 3, 1]
    occurrences = jnp.array([100, 5, 5])
    detects = jax.vmap(counting.is_detector, in_axes=(0, None, None))
    assert detects(activations, occurrences, 5).tolist() == [False, False, True]


@cases.each("x64", [False, True])
def test_an_indicator_of_half_the_positions_scores_ln_2(x64):
    with jax.enable_x64(x64):
        found = counting.positional_information(jnp.array([4, 4, 0, 0]), windows=4)
    assert float(found) == pytest.approx(np.log(2), abs=1e-15 if x64 else 1e-7)


def test_blocks_of_neurons_change_nothing():
    """More neurons than a block has, and not a multiple of it."""
    neurons = statistics.NEURONS_PER_BLOCK + 7
    count = np.random.default_rng(0).integers(0, 9, (2, 16, neurons), np.uint16)
    found = statistics.position_information(count, [8, 8])
    assert found.shape == (3, neurons)
    for neuron in (0, 7, statistics.NEURONS_PER_BLOCK, neurons - 1):
        columns = [*count[:, :, neuron].tolist(), count[:, :, neuron].sum(0).tolist()]
        for row, (column, windows) in enumerate(zip(columns, [8, 8, 16], strict=True)):
            expected = study_oracle.mutual_information(column, windows)
            assert found[row, neuron] == pytest.approx(expected, abs=1e-12)

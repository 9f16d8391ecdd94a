"""Mutual information of firing and position against closed forms, scikit-learn and chance."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies

from jaxneurons.counting import statistics
from jaxneurons.stats import position_information
from tests.support import cases, position_oracle, position_patterns

WINDOWS = 10


def mutual_information(count, windows):
    """Of every column of int[T, F], as a study computes it, held against plain NumPy."""
    found = statistics.position_information(count[None], [windows])
    wanted = position_oracle.mutual_information(count, windows)
    np.testing.assert_allclose(found, [wanted, wanted], rtol=0, atol=1e-12)
    return found[0]


def information(frequency: np.ndarray, windows: int = WINDOWS) -> float:
    count = np.rint(frequency * windows).astype(np.uint16)
    return mutual_information(count[:, None], windows)[0]


def entropy(share: float) -> float:
    return -share * math.log(share) - (1 - share) * math.log(1 - share)


@strategies.composite
def counts(draw) -> tuple[np.ndarray, int]:
    windows = draw(strategies.integers(2, 300))
    # Few sizes: each is compiled.
    positions = draw(strategies.sampled_from([1, 2, 13]))
    elements = strategies.integers(0, windows)
    arrays = numpy_strategies.arrays(np.uint16, (positions, 2), elements=elements)
    return draw(arrays), windows


@cases.each("positions", [16, 2048])
@cases.each("share", [1 / 16, 1 / 4, 1 / 2, 15 / 16])
def test_step_scores_its_entropy(positions, share):
    pattern = position_patterns.step(positions, round(positions * (1 - share)))
    assert information(pattern) == pytest.approx(entropy(share), abs=1e-12)


@cases.each("positions", [16, 2048])
def test_band_scores_its_entropy(positions):
    place = np.arange(positions)
    band = (place >= positions // 4) & (place < positions // 2)
    assert information(band.astype(float)) == pytest.approx(entropy(1 / 4), abs=1e-12)


@cases.each("positions", [16, 2048])
@cases.each("periods", [1, 2, 8])
def test_indicator_of_half_the_positions_scores_ln_2(positions, periods):
    wave = position_patterns.square_wave(positions, periods)
    assert information(wave) == pytest.approx(math.log(2), abs=1e-12)


@cases.each("low", [0.1, 0.3])
def test_wave_between_two_levels_scores_ln_2_less_their_entropy(low):
    wave = low + (1 - 2 * low) * position_patterns.square_wave(2048, 4)
    assert information(wave) == pytest.approx(math.log(2) - entropy(low), abs=1e-12)


def test_ramp_scores_ln_2_less_a_half():
    # ∫ x·ln x + (1−x)·ln(1−x) dx over [0, 1] is −1/2; the sum's middles miss it by O(1/T²·ln T).
    ramp = position_patterns.ramp(2048)
    assert information(ramp, 4096) == pytest.approx(math.log(2) - 0.5, abs=1e-6)


@cases.each("level", range(WINDOWS + 1))
@cases.each("positions", [16, 2047, 2048])
def test_constant_scores_exactly_0(level, positions):
    assert information(np.full(positions, level / WINDOWS)) == 0


@cases.each("windows", [20, 200, 2000])
def test_chance_adds_the_bias(windows):
    count = np.random.default_rng(0).binomial(windows, 0.3, size=(2048, 20))
    mean = mutual_information(count, windows).mean()
    # The bias is the first term of a series in 1 / windows: 3 % too low for 20 of them.
    bias = position_information.information_bias(windows)
    assert mean == pytest.approx(bias, rel=0.02 + 0.5 / windows)


def test_agrees_with_scikit_learn_on_expanded_samples():
    metrics = pytest.importorskip("sklearn.metrics")
    windows, positions = 7, 16
    count = np.random.default_rng(1).integers(0, windows + 1, size=(positions, 5))
    place = np.repeat(np.arange(positions), windows)
    measured = mutual_information(count, windows)
    for column, value in zip(count.T, measured, strict=True):
        active = np.concatenate([np.arange(windows) < number for number in column])
        assert value == pytest.approx(metrics.mutual_info_score(active, place))


@cases.each("windows", [0, 1])
def test_fewer_than_2_windows_mean_nothing(windows):
    count = np.full((16, 3), windows, np.uint16)
    assert np.isnan(mutual_information(count, windows)).all()


@cases.each("dtype", [np.uint16, np.uint32])
def test_largest_counts_of_a_type_do_not_wrap(dtype):
    windows = min(np.iinfo(dtype).max, 200_000)
    count = (position_patterns.step(16, 8) * windows).astype(dtype)[:, None]
    value = mutual_information(count, int(windows))[0]
    assert value == pytest.approx(math.log(2))


@hypothesis.given(counts())
def test_lies_between_0_and_the_entropy(drawn):
    count, windows = drawn
    values = mutual_information(count, windows)
    for value, share in zip(values, count.mean(axis=0) / windows, strict=True):
        assert 0 <= value <= (entropy(share) if 0 < share < 1 else 0) + 1e-12


@hypothesis.given(counts(), strategies.randoms(use_true_random=False))
def test_order_of_positions_and_negation_change_nothing(drawn, random):
    count, windows = drawn
    values = mutual_information(count, windows)
    order = random.sample(range(len(count)), len(count))
    for same in (count[order], windows - count, np.concatenate([count, count])):
        np.testing.assert_allclose(
            mutual_information(same, windows), values, atol=1e-12
        )


def test_null_is_seeded_and_centred_on_the_bias():
    null = position_information.Null(draws=50, seed=3)
    drawn = position_information.null_information(0.4, 100, 2048, null)
    again = position_information.null_information(0.4, 100, 2048, null)
    other = position_information.null_information(
        0.4, 100, 2048, position_information.Null(draws=50, seed=4)
    )
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, other)
    assert drawn.shape == (50,)
    assert drawn.mean() == pytest.approx(1 / 200, rel=0.03)
    assert np.all(np.diff(drawn) >= 0)


@cases.each("frequency", [0.0, 1e-6, 1.0])
def test_null_of_an_extreme_frequency_is_not_empty(frequency):
    null = position_information.Null(draws=5)
    assert position_information.null_information(frequency, 50, 64, null)[0] > 0

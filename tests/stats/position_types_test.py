"""Types, strengths and ranges of positional neurons on patterns of known shape."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies

from jaxneurons import errors
from jaxneurons.stats import position_types
from tests.support import cases, position_patterns

CRITERIA = position_types.PositionCriteria()
# As good as no noise; divides by every level used here.
MANY = 1_000_000
KINDS = list(itertools.product(position_types.TYPES, position_types.STRENGTHS))


def classify(
    frequency: np.ndarray, criteria: position_types.PositionCriteria = CRITERIA
) -> tuple[str, str]:
    count = np.rint(frequency * MANY).astype(np.int64)
    return position_types.classify(count, MANY, criteria)


@cases.each("kind", KINDS)
def test_each_type_and_strength_is_told_apart(kind):
    assert classify(position_patterns.patterns(2048)[kind]) == kind


@cases.each("kind", KINDS)
def test_short_windows_tell_all_but_thick_lines(kind):
    # Nothing is averaged over 16 // 128 positions, and no pattern strays from itself.
    expected = ("other", "strong") if kind == ("other", "weak") else kind
    assert classify(position_patterns.patterns(16)[kind]) == expected


@cases.each("positions", [16, 2048])
@cases.each("kind", KINDS)
def test_firing_and_not_firing_are_treated_alike(kind, positions):
    pattern = position_patterns.patterns(positions)[kind]
    assert classify(1 - pattern) == classify(pattern)


@cases.each("windows", [50, 2000])
@cases.each("kind", KINDS)
def test_type_survives_noise(kind, windows):
    pattern = position_patterns.patterns(2048)[kind]
    found = [
        position_types.classify(
            position_patterns.draw(pattern, windows, seed), windows, CRITERIA
        )
        for seed in range(20)
    ]
    # 50 windows scatter a frequency of 0.5 by 0.07: no line is thin.
    thick = kind == ("other", "strong") and windows == 50
    assert found == [("other", "weak") if thick else kind] * 20


# Measured with 1,500 patterns: 0.966, 0.982 and 0.991.
@cases.each("windows, floor", [(50, 0.93), (200, 0.95), (2000, 0.97)])
def test_type_of_any_smooth_pattern_mostly_survives_noise(windows, floor):
    generator = np.random.default_rng(0)
    agreed = []
    for _ in range(200):
        pattern = position_patterns.random_pattern(2048, generator)
        count = generator.binomial(windows, pattern)
        found = position_types.classify(count, windows, CRITERIA)
        agreed.append(found[0] == classify(pattern)[0])
    assert np.mean(agreed) >= floor


def test_position_0_is_left_out():
    pattern = 0.3 * position_patterns.step(16, 8) + 0.3
    spiked = pattern.copy()
    spiked[0] = 1.0
    assert classify(spiked) == classify(pattern) == ("other", "strong")


@cases.each("length, kind", [(46, "one"), (47, "both"), (60, "both")])
def test_an_extreme_has_to_last_a_run(length, kind):
    # 47 positions at 1 leave 47 − 16 + 1 = 32 averages over 16 of them at 1, a run of T/64.
    pattern = np.zeros(2048)
    pattern[900 : 900 + length] = 1.0
    exact = position_types.PositionCriteria(tolerance=0.01, strong_tolerance=0.01)
    assert classify(pattern, exact)[0] == kind


@cases.each("length, kind", [(1, "other"), (2, "one")])
def test_a_run_is_rounded_up(length, kind):
    pattern = np.full(96, 0.5)
    pattern[40 : 40 + length] = 0.0
    assert classify(pattern)[0] == kind


def test_a_tolerance_is_met_where_it_is_equal():
    pattern = np.where(np.arange(16) < 8, 0.1, 0.9)
    assert classify(pattern) == ("both", "weak")
    pattern = np.where(np.arange(16) < 8, 0.01, 0.99)
    assert classify(pattern) == ("both", "strong")
    pattern = np.where(np.arange(16) < 8, 0.100001, 0.899999)
    assert classify(pattern)[0] == "other"


@cases.each(
    "levels, switches",
    [
        ([0, 1, 0, 1], 3),
        ([0, 0.5, 1, 0.5, 1, 0.5, 0], 2),
        ([0, 0.74, 0.26, 0.74, 1], 1),
        ([0.35, 0.1, 0.35, 0.1], 3),
        ([0.34, 0.1, 0.34, 0.1], 0),
        # Exactly at 75 % and 25 % of the range, where floats fall short of it.
        ([0, 0.3, 0, 0.4], 3),
        ([0.325, 0.1, 0.325, 0.025], 3),
        ([0.3, 0.3, 0.3], 0),
        ([0.0, 0.25, 0.75, 0.25, 1.0], 3),
    ],
)
def test_switches_have_hysteresis(levels, switches):
    assert position_types.count_switches(np.array(levels), CRITERIA) == switches


def test_two_switches_are_not_oscillatory():
    bump = position_patterns.step(2048, 512) - position_patterns.step(2048, 1024)
    assert classify(bump) == ("both", "strong")
    looser = position_types.PositionCriteria(least_switches=2)
    assert classify(bump, looser) == ("oscillatory", "strong")


@hypothesis.given(
    numpy_strategies.arrays(np.int64, 40, elements=strategies.integers(0, 9)),
    strategies.integers(1, 45),
)
def test_smoothing_averages_what_there_is(count, width):
    smoothed = position_types.smooth(count, 9, width)
    for position in range(1, 40):
        first = max(1, position - (width - 1) // 2)
        stop = min(40, position + width // 2 + 1)
        expected = count[first:stop].mean() / 9
        assert smoothed[position - 1] == pytest.approx(expected, abs=1e-12)


@hypothesis.given(numpy_strategies.arrays(bool, strategies.integers(0, 30)))
def test_runs_are_maximal_and_complete(mask):
    drawn = np.zeros_like(mask)
    runs = position_types.find_runs(mask)
    for first, last in runs:
        assert first <= last
        drawn[first : last + 1] = True
    np.testing.assert_array_equal(drawn, mask)
    assert np.all(runs[1:, 0] - runs[:-1, 1] > 1)


def test_ranges_of_a_wave_begin_and_end_where_it_does():
    count = (100 * position_patterns.square_wave(64, 4)).astype(np.int64)
    ranges = position_types.indicated_ranges(count, 100, CRITERIA)
    assert ranges == [[8, 15], [24, 31], [40, 47], [56, 63]]


def test_the_level_of_a_range_belongs_to_it():
    count = np.array([0, 49, 50, 51, 50, 49, 0, 100])
    assert position_types.indicated_ranges(count, 100, CRITERIA) == [[2, 4], [7, 7]]


@hypothesis.given(
    strategies.lists(numpy_strategies.arrays(bool, 11), min_size=0, max_size=5)
)
def test_cover_agrees_with_sets(masks):
    ranges = [(position_types.find_runs(mask) + 1).tolist() for mask in masks]
    places = [set(np.flatnonzero(mask) + 1) for mask in masks]
    union, share, redundant = position_types.cover(ranges, 12)
    covered = set().union(*places)
    assert {p for first, last in union for p in range(first, last + 1)} == covered
    assert share == len(covered) / 11
    assert redundant == [
        own <= set().union(*places[:index], *places[index + 1 :])
        for index, own in enumerate(places)
    ]


@cases.each(
    "wrong",
    [
        {"smoothing_divisor": 0},
        {"run_divisor": 0},
        {"tolerance": 0.5},
        {"strong_tolerance": 0.2},
        {"low_level": 0.8},
        {"minimum_range": 0.0},
        {"range_level": 0.0},
        {"least_switches": 0},
    ],
)
def test_criteria_that_mean_nothing_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(errors.UsageError, match=name):
        position_types.PositionCriteria(**wrong)

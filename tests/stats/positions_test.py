"""Layers and studies of neurons with known patterns: records, numbers and faults."""

import itertools
import json

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.stats import (
    position_information,
    position_records,
    position_summary,
    position_types,
    positions,
)
from tests.support import cases, position_oracle, position_patterns

CRITERIA = position_types.PositionCriteria()
KINDS = list(itertools.product(position_types.TYPES, position_types.STRENGTHS))


def planted_layer(length: int, windows: list[int], exact: bool = True) -> np.ndarray:
    """uint16[domain, T, 10]: a neuron of each type and strength, a dead one and an even one."""
    planted = position_patterns.patterns(length)
    frequency = [planted[kind] for kind in KINDS]
    frequency += [np.zeros(length), np.full(length, 0.5)]
    shares = np.stack(frequency, axis=1)
    generator = np.random.default_rng(0)
    counts = [
        np.rint(shares * number) if exact else generator.binomial(number, shares)
        for number in windows
    ]
    return np.stack(counts).astype(np.uint16)


def analyze(count: np.ndarray, windows: list[int], **keywords):
    return position_patterns.analyze_layer(3, count, windows, CRITERIA, **keywords)


def section(count: np.ndarray, windows: list[int], **keywords) -> dict:
    found = analyze(count, windows, **keywords)
    names = [f"domain {index}" for index in range(len(windows))]
    return position_summary.summarize(
        [found.summary], names, windows, count.shape[1], CRITERIA
    )


def test_a_neuron_behind_many_is_found_as_it_is_alone():
    windows = [1000, 1500]
    planted = planted_layer(16, windows)
    alone = analyze(planted, windows).records
    many = positions.NEURONS_PER_BLOCK + 22
    dead = np.zeros((*planted.shape[:2], many), planted.dtype)
    behind = analyze(np.concatenate([dead, planted], axis=2), windows).records
    assert [one["neuron"] - many for one in behind] == list(range(8))
    said = ("type", "strength", "ranges", "frequency", "correlation")
    for before, after in zip(alone, behind, strict=True):
        assert all(before[name] == after[name] for name in said)
        # Sums over neurons at another place in memory differ by their last bit.
        key = "mutual_information_by_domain"
        np.testing.assert_allclose(before[key], after[key], rtol=1e-12)


@cases.each("length", [16, 2048])
def test_planted_neurons_are_found_and_typed(length):
    windows = [1000, 3000]
    found = analyze(planted_layer(length, windows), windows)
    assert [record["neuron"] for record in found.records] == list(range(8))
    expected = list(KINDS)
    if length == 16:
        expected[-1] = ("other", "strong")
    assert [(one["type"], one["strength"]) for one in found.records] == expected
    assert all(one["layer"] == 3 for one in found.records)
    assert [bool(one["ranges"]) for one in found.records] == [True] + 7 * [False]


def test_pooled_information_is_that_of_the_sum():
    windows = [60, 100]
    count = planted_layer(64, windows, exact=False)
    found = analyze(count, windows)
    rows = [(count[0], 60), (count[1], 100), (count.sum(0, dtype=np.int64), 160)]
    for row, (part, number) in zip(found.mutual_information, rows, strict=True):
        np.testing.assert_allclose(
            row, position_oracle.mutual_information(part, number), atol=1e-12
        )


def test_opposed_domains_cancel():
    wave = position_patterns.square_wave(64, 2)
    count = np.stack([100 * wave, 100 - 100 * wave]).astype(np.uint16)[:, :, None]
    found = analyze(count, [100, 100])
    np.testing.assert_allclose(
        found.mutual_information[:, 0], [np.log(2), np.log(2), 0]
    )
    assert found.records == []


def test_blocks_change_nothing():
    windows = [50, 70]
    count = planted_layer(128, windows, exact=False)
    few = analyze(count, windows)
    times = positions.NEURONS_PER_BLOCK // 10 + 1
    information = np.tile(few.mutual_information, times)
    many = positions.analyze_layer(
        3, np.tile(count, times), windows, information, CRITERIA
    )
    assert many.records == [
        record | {"neuron": record["neuron"] + 10 * time}
        for time in range(times)
        for record in few.records
    ]


@cases.each("alone", [0, 1])
def test_domain_of_fewer_than_2_windows_has_no_value_of_its_own(alone):
    windows = [300, alone]
    found = analyze(planted_layer(2048, windows), windows)
    assert np.isnan(found.mutual_information[1]).all()
    assert not np.isnan(found.mutual_information[[0, 2]]).any()
    record = found.records[0]
    assert record["mutual_information_by_domain"][1] is None
    assert record["correlation"][0][0] == pytest.approx(1)
    assert record["correlation"][0][1] is record["correlation"][1][1] is None


@cases.each("windows", [[0, 0], [0, 1]])
def test_fewer_than_2_windows_in_all_name_no_neuron(windows):
    count = planted_layer(16, windows)
    found = analyze(count, windows)
    assert np.isnan(found.mutual_information).all()
    assert found.records == []
    summary = section(count, windows)
    assert f"{sum(windows)} full windows, fewer than 2" in summary["warning"]
    assert summary["positional"] == 0
    json.dumps(summary, allow_nan=False)


def test_one_window_in_each_of_two_domains_is_enough_to_pool():
    found = analyze(planted_layer(16, [1, 1]), [1, 1])
    assert np.isnan(found.mutual_information[:2]).all()
    assert not np.isnan(found.mutual_information[2]).any()


def test_few_windows_are_told_of_and_the_bias_taken_off():
    # Even neurons: chance alone lifts them over 0.05 with 9 windows, and below it once corrected.
    windows = [5, 4]
    count = np.random.default_rng(0).binomial(5, 0.5, size=(1, 2048, 30))
    count = np.concatenate(
        [count, np.random.default_rng(1).binomial(4, 0.5, size=count.shape)]
    )
    summary = section(count.astype(np.uint16), windows)
    assert summary["few_windows"]
    assert summary["bias"] == pytest.approx(1 / 18)
    assert summary["positional"] == 30
    assert summary["layers"][0]["positional_after_bias"] == 0
    assert "9 full windows, fewer than 200" in summary["warning"]
    assert "0 of 30" in summary["warning"]


def test_enough_windows_need_no_warning():
    summary = section(planted_layer(64, [150, 50]), [150, 50])
    assert not summary["few_windows"]
    assert summary["warning"] is None
    assert "positional_after_bias" not in summary["layers"][0]


def test_null_tells_chance_from_pattern():
    windows = [5]
    generator = np.random.default_rng(2)
    even = generator.binomial(5, 0.5, size=(2048, 1))
    wave = generator.binomial(5, 0.1 + 0.8 * position_patterns.square_wave(2048, 4))
    count = np.concatenate([even, wave[:, None]], axis=1).astype(np.uint16)[None]
    found = analyze(count, windows, null=position_information.Null(draws=40))
    assert [one["null"]["explained_by_chance"] for one in found.records] == [
        True,
        False,
    ]
    assert found.records[1]["null"]["p_value"] == 1 / 41
    assert found.records[1]["null"]["largest"] < found.records[1]["mutual_information"]
    assert found.summary["explained_by_chance"] == 1


def test_correlation_agrees_with_numpy():
    count = np.random.default_rng(0).integers(0, 60, size=(3, 40))
    measured = position_records.correlate_domains(count, [60, 70, 80])
    np.testing.assert_allclose(measured, np.corrcoef(count))


def test_constant_pattern_correlates_with_nothing():
    count = np.stack([np.arange(16), 15 - np.arange(16), np.full(16, 3)])
    measured = position_records.correlate_domains(count, [20, 20, 20])
    assert measured[0][1] == pytest.approx(-1)
    assert measured[0][2] is measured[2][2] is None


def test_summary_counts_and_joins():
    windows = [1000]
    # Two shifted waves cover all; the third, the first again, makes the first redundant too.
    wave = position_patterns.square_wave(64, 4)
    count = 1000 * np.stack([wave, 1 - wave, wave], axis=1)[None].astype(np.uint16)
    summary = section(count, windows)
    layer = summary["layers"][0]
    assert layer["counts"]["oscillatory"] == {"strong": 3, "weak": 0}
    assert summary["counts"] == layer["counts"]
    joined = layer["strong_oscillatory"]
    assert joined["neurons"] == [1, 0, 2]
    assert joined["ranges"][0] == [[1, 7], [16, 23], [32, 39], [48, 55]]
    assert joined["union"] == [[1, 63]]
    assert joined["covered_share"] == 1.0
    assert joined["redundant"] == [0, 2]
    assert summary["ranges_layer"] == 3


def test_section_takes_the_clearest_example_and_the_layer_of_most_ranges():
    windows = [1000]
    count = planted_layer(2048, windows)
    fainter = count[:, :, [1, 1]].copy()
    fainter[:, :1024] = 500
    twice = np.concatenate([fainter, count, count, fainter], axis=2)
    layers = [
        position_patterns.analyze_layer(layer, part, windows, CRITERIA).summary
        for layer, part in enumerate([fainter, count, twice])
    ]
    clearest = {(one["type"], one["strength"]): one for one in layers[2]["examples"]}
    assert clearest["oscillatory", "weak"]["neuron"] == 3
    summary = position_summary.summarize(layers, ["all"], windows, 2048, CRITERIA)
    assert summary["ranges_layer"] == 2
    assert [(one["type"], one["strength"]) for one in summary["examples"]] == KINDS
    weak = summary["examples"][1]
    assert (weak["layer"], weak["neuron"]) == (1, 1)
    np.testing.assert_allclose(weak["frequency"], count[0, :, 1] / 1000)
    assert "examples" not in summary["layers"][0]


@cases.each("windows", [[30, 0], [1000, 3000]])
def test_everything_is_json(windows):
    null = position_information.Null(draws=3)
    count = planted_layer(128, windows, exact=False)
    for value in (analyze(count, windows, null=null).records, section(count, windows)):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_more_activations_than_windows_are_refused():
    with pytest.raises(
        errors.StudyError, match="layer 3.* reaches 51 in domain 1, which has 50 "
    ):
        analyze(np.full((2, 16, 4), 51, np.uint16), [60, 50])


def test_another_number_of_domains_is_refused():
    with pytest.raises(errors.StudyError, match="has 2 domains.* given for 3"):
        analyze(np.zeros((2, 16, 4), np.uint16), [5, 5, 5])

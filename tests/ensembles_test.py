"""Layers as ensembles, and neurons by coverage class."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from jaxneurons.stats import ensembles, thresholds


def detector(layer, neuron, ngrams):
    triggers = [
        {"ids": list(ngram), "text": "", "activations": 1, "occurrences": 1}
        for ngram in ngrams
    ]
    return {"layer": layer, "neuron": neuron, "coverage": 1, "triggers": triggers}


def test_what_is_new_at_each_layer():
    found = [
        detector(0, 4, [(1,), (2,)]),
        detector(0, 9, [(2,)]),
        detector(1, 0, [(2,), (3,)]),
        detector(2, 0, [(1,), (3,), (4,)]),
    ]
    columns = ensembles.ensemble([0, 1, 2, 3], found)
    assert [list(row.values()) for row in columns] == [
        [2, 2, 2, 2, 2],
        [1, 2, 1, 1, 3],
        [1, 3, 1, 2, 4],
        [0, 0, 0, 0, 4],
    ]
    assert list(columns[0]) == [
        "detectors",
        "ngrams",
        "new_overall",
        "new_against_previous",
        "cumulative",
    ]


def test_layers_not_analyzed_are_absent_and_new_against_them_is_unknown():
    found = [detector(2, 0, [(1, 2)]), detector(5, 0, [(1, 2), (2, 1)])]
    rows = ensembles.ensemble([2, 5], found)
    assert [row["new_against_previous"] for row in rows] == [None, None]
    assert [row["new_overall"] for row in rows] == [1, 1]


@hypothesis.given(
    strategies.lists(
        strategies.lists(strategies.sets(strategies.integers(0, 9), min_size=1)),
        min_size=1,
        max_size=6,
    )
)
def test_ensembles_are_sets(by_layer):
    found = [
        detector(layer, neuron, [(token,) for token in tokens])
        for layer, of_layer in enumerate(by_layer)
        for neuron, tokens in enumerate(of_layer)
    ]
    unions = [set().union(*of_layer) for of_layer in by_layer]
    for layer, row in enumerate(ensembles.ensemble(range(len(by_layer)), found)):
        below = set().union(*unions[:layer])
        assert row["detectors"] == len(by_layer[layer])
        assert row["ngrams"] == len(unions[layer])
        assert row["new_overall"] == len(unions[layer] - below)
        previous = unions[layer - 1] if layer else set()
        assert row["new_against_previous"] == len(unions[layer] - previous)
        assert row["cumulative"] == len(below | unions[layer])


@pytest.mark.parametrize(
    "coverage, name",
    [
        (0, "0"),
        (1, "1-5"),
        (5, "1-5"),
        (6, "6-50"),
        (50, "6-50"),
        (51, "51-500"),
        (500, "51-500"),
        (501, "501-5000"),
        (5000, "501-5000"),
        (5001, ">5000"),
        (2**31 - 1, ">5000"),
    ],
)
def test_borders_of_coverage_classes(coverage, name):
    counts = ensembles.coverage_classes(np.array([coverage]), np.array([True]))
    assert dict(zip(ensembles.COVERAGE_CLASSES, counts, strict=True))[name] == 1


def test_the_section_counts_alive_neurons_only_and_is_plain_json():
    section = ensembles.summarize(
        n=2,
        model_layers=4,
        layers=[0, 1],
        coverage=np.array([[0, 3, 7, 0], [0, 0, 0, 0]], np.int32),
        alive=np.array([[True, True, True, False], [False] * 4]),
        found=[detector(0, 1, [(3, 4)])],
        criteria=thresholds.Criteria(),
    )
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert section["coverage_share"] == 0.95
    first, second = section["layers"]
    assert first["alive"] == 3 and first["coverage_counts"] == [1, 1, 1, 0, 0, 0]
    assert first["coverage_shares"] == [1 / 3] * 3 + [0] * 3
    assert second["alive"] == 0 and second["coverage_shares"] is None
    assert first["detectors"] == first["cumulative"] == second["cumulative"] == 1

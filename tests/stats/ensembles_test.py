"""Layers as ensembles, and neurons by coverage class."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from jaxneurons import errors
from jaxneurons.stats import detectors, ensembles, thresholds
from tests.support import cases


def detecting(layer, *by_neuron, n=1):
    """A layer whose detectors, from neuron 0 on, have these n-grams."""
    pairs = [(neuron, ngram) for neuron, own in enumerate(by_neuron) for ngram in own]
    neurons = np.array([neuron for neuron, _ in pairs], np.int32)
    ngrams = np.array([ngram for _, ngram in pairs], np.int32).reshape(-1, n)
    ones = np.ones_like(neurons)
    triggers = detectors.Candidates(neurons, ngrams, ones, ones)
    found = np.arange(len(by_neuron))
    return detectors.LayerDetectors(layer, found, np.ones_like(found), triggers)


def test_what_is_new_at_each_layer():
    found = [
        detecting(0, [(1,), (2,)], [(2,)]),
        detecting(1, [(2,), (3,)]),
        detecting(2, [(1,), (3,), (4,)]),
        detecting(3),
    ]
    rows = list(ensembles.ensemble(found, attested_occurrences=2))
    # Every trigger occurs once.
    assert [list(row.values()) for row in rows] == [
        [2, 1, 2, 2, 2, 2],
        [1, 1, 2, 1, 1, 3],
        [1, 1, 3, 1, 2, 4],
        [0, 0, 0, 0, 0, 4],
    ]
    assert list(rows[0]) == [
        "detectors",
        "attested_detectors",
        "ngrams",
        "new_overall",
        "new_against_previous",
        "cumulative",
    ]


def test_layers_not_analyzed_are_absent_and_new_against_them_is_unknown():
    found = [detecting(2, [(1, 2)], n=2), detecting(5, [(1, 2), (2, 1)], n=2)]
    rows = list(ensembles.ensemble(found))
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
        detecting(layer, *([(token,) for token in tokens] for tokens in of_layer))
        for layer, of_layer in enumerate(by_layer)
    ]
    unions = [set().union(*of_layer) for of_layer in by_layer]
    for layer, row in enumerate(ensembles.ensemble(found)):
        below = set().union(*unions[:layer])
        assert row["detectors"] == len(by_layer[layer])
        assert row["ngrams"] == len(unions[layer])
        assert row["new_overall"] == len(unions[layer] - below)
        previous = unions[layer - 1] if layer else set()
        assert row["new_against_previous"] == len(unions[layer] - previous)
        assert row["cumulative"] == len(below | unions[layer])


@cases.each("n", [1, 2, 3])
def test_ngrams_have_one_code_each(n):
    generator = np.random.default_rng(n)
    ids = np.array([0, 1, 2, 50271, 2**20, 2**21 - 1])
    ngrams = generator.choice(ids, (400, n)).astype(np.int32)
    codes = ensembles.distinct_codes(ngrams)
    assert len(codes) == len({tuple(ngram) for ngram in ngrams.tolist()})
    assert codes.min() >= 0 and (np.diff(codes) > 0).all()


def test_a_token_too_large_for_a_code_is_refused():
    with pytest.raises(errors.StudyError, match="token 2097152 in an n-gram"):
        ensembles.distinct_codes(np.array([[1, 2**21]]))


@cases.each(
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
        found=[detecting(0, [(3, 4)], n=2), detecting(1, n=2)],
        criteria=thresholds.Criteria(),
    )
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert section["coverage_share"] == 0.95
    first, second = section["layers"]
    assert first["alive"] == 3 and first["coverage_counts"] == [1, 1, 1, 0, 0, 0]
    assert first["coverage_shares"] == [1 / 3] * 3 + [0] * 3
    assert second["alive"] == 0 and second["coverage_shares"] is None
    assert first["detectors"] == first["cumulative"] == second["cumulative"] == 1

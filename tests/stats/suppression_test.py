"""What token detectors write, against unembeddings made by hand, and the shares of suppression."""

import json

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.stats import controls, detectors, projections, suppression
from tests.support import cases


def vocabulary(unembedding, project_out=None, occurrences=None):
    unembedding = np.asarray(unembedding)
    if occurrences is None:
        occurrences = np.ones(len(unembedding), np.int64)
    return projections.Vocabulary(unembedding, project_out, occurrences, "w{}".format)


def detector(layer, neuron, tokens, activations=10):
    triggers = [
        {"ids": [t], "text": f"w{t}", "activations": activations, "occurrences": 10}
        for t in tokens
    ]
    return {"layer": layer, "neuron": neuron, "coverage": 1, "triggers": triggers}


def as_arrays(layer, found):
    """Detectors that are given as records."""
    rows = [(d["neuron"], t) for d in found for t in d["triggers"]]
    columns = [[neuron for neuron, _ in rows], [t["ids"] for _, t in rows]]
    columns += [[t[name] for _, t in rows] for name in ("activations", "occurrences")]
    neuron, ids, *counts = (np.array(column, np.int32) for column in columns)
    triggers = detectors.Candidates(neuron, ids.reshape(-1, 1), *counts)
    neurons, coverage = ([d[k] for d in found] for k in ("neuron", "coverage"))
    return detectors.LayerDetectors(
        layer, np.array(neurons, np.int32), np.array(coverage, np.int32), triggers
    )


def look(found, kernel, unembedding, alive=None, layer=3, keep=None, **settings):
    kernel = np.asarray(kernel)
    alive = np.ones(len(kernel), bool) if alive is None else alive
    return suppression.layer_suppression(
        as_arrays(layer, found),
        kernel,
        alive,
        vocabulary(unembedding),
        suppression.Settings(**settings),
        keep or (lambda detector: None),
    )


def test_a_detector_has_the_tokens_at_both_ends_of_its_projections():
    # Neuron 1 writes (2, -1); tokens lie along the axes.
    kernel = np.array([[0, 0], [2, -1]], np.float16)
    unembedding = np.array([[1, 0], [0, 1], [-1, 0], [0, 3], [1, 0]], np.float16)
    kept = []
    look([detector(3, 1, [1, 3])], kernel, unembedding, keep=kept.append, top=2)
    assert kept[0] == {
        **detector(3, 1, [1, 3]),
        "promoted": [
            {"id": 0, "text": "w0", "projection": 2.0},
            {"id": 4, "text": "w4", "projection": 2.0},
        ],
        "suppressed": [
            {"id": 3, "text": "w3", "projection": -3.0},
            {"id": 2, "text": "w2", "projection": -2.0},
        ],
        "mean_projection": -2.0,
    }


@cases.each("dtype", [np.float16, np.float32])
def test_projections_are_float64_products_of_what_is_stored(dtype):
    # One more than a block of each.
    neurons, tokens = projections.NEURON_BLOCK + 1, projections.VOCABULARY_BLOCK + 1
    generator = np.random.default_rng(0)
    outputs, project_out, unembedding = (
        generator.normal(size=shape).astype(dtype)
        for shape in ((neurons, 12), (12, 8), (tokens, 8))
    )
    words = vocabulary(unembedding, project_out)
    found = np.stack(list(projections.project(outputs, np.arange(neurons), words)))
    assert found.dtype == np.float64
    outputs, project_out, unembedding = (
        array.astype(np.float64) for array in (outputs, project_out, unembedding)
    )
    expected = np.linalg.multi_dot([outputs, project_out, unembedding.T])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_projection_that_is_not_finite_is_refused():
    with pytest.raises(errors.StoreError, match="not finite"):
        look([detector(3, 0, [0])], [[np.nan]], [[1.0]])


def test_a_trigger_outside_of_the_vocabulary_is_refused():
    with pytest.raises(
        errors.StudyError, match="layer 3, neuron 0: trigger 2 is none of the 2"
    ):
        look([detector(3, 0, [1, 2])], [[1.0]], [[1.0], [1.0]])


def test_ties_go_to_the_lower_id_and_a_short_vocabulary_is_listed_whole():
    values = np.array([1.0, -1, 0, -1, -1])
    assert projections.lowest(values, 2).tolist() == [1, 3]
    assert projections.lowest(values, 9).tolist() == [1, 3, 4, 2, 0]


@cases.each(
    "own, expected",
    [
        ([-1.0], [1, 1, 1, 1]),
        ([0.0], [1, 0, 0, 0]),
        ([-3.0, 2.0], [1, 1, 0, 1]),
        ([-1.0, 1.0], [1, 0, 0, 1]),
        ([-0.25, -0.25], [1, 1, 1, 0]),
        ([-0.5], [1, 1, 1, 1]),
        ([], [0, 0, 0, 0]),
    ],
)
def test_a_trial(own, expected):
    # Two others lie at -0.5: fewer than two tokens have to lie below a trigger among the two lowest.
    values = np.array([*own, -0.5, -0.5, 1.0, 1.0])
    tokens = np.arange(len(own))
    assert suppression.judge(values, tokens, lowest=2).tolist() == expected


def planted(seed=0, neurons=40, tokens=300, width=16, number=20):
    """Detectors that write against their two tokens in a layer of neurons that write at random."""
    generator = np.random.default_rng(seed)
    unembedding = generator.normal(size=(tokens, width))
    kernel = generator.normal(size=(neurons, width))
    found = []
    for neuron in range(number):
        own = generator.choice(tokens, size=2, replace=False)
        kernel[neuron] = -unembedding[own].sum(axis=0)
        found.append(detector(3, neuron, own.tolist()))
    return found, kernel, unembedding


def test_planted_detectors_suppress_their_triggers_and_controls_are_even():
    found, kernel, unembedding = planted(tokens=1000)
    settings = suppression.Settings(lowest=30, draws=20)
    result = look(found, kernel, unembedding, lowest=30, draws=20)
    section = suppression.summarize([result], settings)
    assert (section["vocabulary"], section["lowest_share"]) == (1000, 0.03)
    few = suppression.summarize([result._replace(vocabulary=999)], settings)
    assert few["lowest_share"] is few["overall"]["detectors"]["among_lowest"] is None
    assert section["overall"]["detectors"] == {
        "number": 20,
        "mean_negative": 1.0,
        "all_negative": 1.0,
        "among_lowest": 1.0,
    }
    for group in ("random_tokens", "random_neurons"):
        control = section["overall"][group]
        assert control["number"] == 400
        # Even odds, more than four standard deviations wide.
        assert 0.38 < control["mean_negative"] < 0.62
        assert control["among_lowest"] < 0.15
        assert len(section["draws"][group]) == 20


def test_controls_are_the_detectors_or_other_neurons_with_random_tokens():
    found, kernel, unembedding = planted()
    result = look(found, kernel, unembedding, draws=3, seed=8)
    values = kernel @ unembedding.T
    neurons = np.arange(20)
    triggers = [np.array([t["ids"][0] for t in d["triggers"]]) for d in found]
    for draw in range(3):
        generator = np.random.default_rng([8, 3, draw])
        tokens = controls.random_tokens(triggers, np.ones(300, np.int64), generator)
        others = controls.random_neurons(np.ones(40, bool), neurons, generator)
        for group, rows in (("random_tokens", neurons), ("random_neurons", others)):
            trials = zip(rows, tokens, strict=True)
            judged = [suppression.judge(values[n], own, 50) for n, own in trials]
            assert result.counts[group][draw].tolist() == sum(judged).tolist()


def test_controls_are_drawn_the_same_again_and_otherwise_with_another_seed():
    found, kernel, unembedding = planted()
    first, again, other = (
        look(found, kernel, unembedding, seed=seed, draws=5) for seed in (0, 0, 1)
    )
    for group in ("random_tokens", "random_neurons"):
        np.testing.assert_array_equal(first.counts[group], again.counts[group])
        assert (first.counts[group] != other.counts[group]).any()
    fewer = look(found, kernel, unembedding, draws=2)
    assert fewer.strongest == first.strongest
    np.testing.assert_array_equal(
        fewer.counts["random_neurons"], first.counts["random_neurons"][:2]
    )


def test_controls_of_a_layer_without_other_alive_neurons_have_no_trials():
    found, kernel, unembedding = planted(neurons=20)
    result = look(found, kernel, unembedding, draws=1)
    section = suppression.summarize([result], suppression.Settings(draws=1))
    assert section["overall"]["random_tokens"]["number"] == 20
    assert section["overall"]["random_neurons"] == {
        "number": 0,
        "mean_negative": None,
        "all_negative": None,
        "among_lowest": None,
    }


def test_the_section_is_plain_json_with_null_for_shares_of_no_detectors():
    found, kernel, unembedding = planted(number=3)
    settings = suppression.Settings(draws=2, strongest=2)
    layers = [
        look(found, kernel, unembedding, layer=3, draws=2),
        look([], kernel, unembedding, layer=4, draws=2),
    ]
    section = suppression.summarize(layers, settings)
    assert json.loads(json.dumps(section, allow_nan=False)) == section
    assert [row["layer"] for row in section["layers"]] == [3, 4]
    assert section["layers"][0]["detectors"]["mean_negative"] == 1.0
    assert section["layers"][1]["detectors"]["number"] == 0
    assert section["layers"][1]["detectors"]["mean_negative"] is None
    assert len(section["strongest"]) == 2
    assert section["settings"]["seed"] == 0


def test_without_draws_there_are_no_controls():
    found, kernel, unembedding = planted(number=3)
    result = look(found, kernel, unembedding, draws=0)
    section = suppression.summarize([result], suppression.Settings(draws=0))
    assert section["overall"]["detectors"]["number"] == 3
    assert section["overall"]["random_neurons"]["number"] == 0


def test_the_strongest_have_most_activations_then_the_lowest_place():
    found = [
        detector(2, 5, [1], activations=30),
        detector(1, 9, [1, 2], activations=15),
        detector(1, 4, [1, 2, 3], activations=10),
        detector(0, 0, [1], activations=29),
    ]
    strongest = suppression.strongest(found, 3)
    assert [(d["layer"], d["neuron"]) for d in strongest] == [(1, 4), (1, 9), (2, 5)]


@cases.each("name, least", [("top", 1), ("lowest", 1), ("draws", 0), ("seed", 0)])
def test_settings_out_of_range_are_refused(name, least):
    with pytest.raises(errors.UsageError, match=f"{name} is {least - 1}. Choose"):
        suppression.Settings(**{name: least - 1})

"""Neurons wired to n-grams are found with exactly their triggers, near misses are not (paper §4)."""

import collections
import itertools

import pytest

from tests.support import cases, planted, planted_ngrams, studies, study_oracle
from tests.support import planted_ngrams_wiring as wiring


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    return [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in wiring.documents().items()
    ]


def run_planted(path, sources, model=planted_ngrams.MODEL, **chosen):
    stored = planted_ngrams.write_store(path / "store", wiring.LAYERS, model)
    chosen = {"windows_per_batch": 16} | chosen
    return studies.run_study(path / "study", stored, sources, **chosen)


@pytest.fixture(scope="module")
def record(sources, tmp_path_factory):
    return run_planted(tmp_path_factory.mktemp("studies"), sources)


@pytest.fixture(scope="module")
def record_350m(sources, tmp_path_factory):
    path = tmp_path_factory.mktemp("350m")
    return run_planted(path, sources, planted_ngrams.MODEL_350M)


@pytest.fixture(scope="module", params=["record", "record_350m"])
def variant(request):
    """Where the LayerNorms stand must not matter to what fires."""
    return request.getfixturevalue(request.param)


def test_token_detectors_are_those_wired(variant):
    found = studies.read_triggers(variant, 1)
    assert {
        place: {token for (token,) in triggers} for place, triggers in found.items()
    } == wiring.TOKEN_DETECTORS
    # At exactly 95 %: of the token's occurrences, and of the neuron's activations.
    assert found[0, 5] == {(wiring.BARELY_FOUND,): (95, 100)}
    assert found[0, 7] == {(wiring.BARELY_SPILLED,): (95, 95)}


def test_near_misses_miss_by_one_activation(variant):
    """What would be detectors with one activation more on their triggers has the counts arranged."""
    candidates = studies.read_candidates(variant, 1)
    missed, spilled = (wiring.RARELY_MISSED,), (wiring.SPILLED,)
    assert candidates[0, 4] == {missed: (94, 100)}
    assert candidates[0, 6] == {spilled: (94, 94), (wiring.SPILL,): (6, 31)}


@cases.each(
    "place, ngrams",
    [
        ((0, 2), {wiring.BIGRAM}),
        ((1, 2), {wiring.BIGRAM}),
        ((1, 3), set(wiring.PAIRS)),
        ((2, 2), {wiring.PAIRS[0]}),
    ],
)
def test_bigram_neurons(variant, place, ngrams):
    found = studies.read_triggers(variant, 2)[place]
    assert set(found) == ngrams
    assert all(count == occurrences > 10 for count, occurrences in found.values())


def test_pair_missed_in_six_of_a_hundred_is_no_bigram_detector(variant):
    assert (0, 11) not in studies.read_triggers(variant, 2)
    assert studies.read_triggers(variant, 3)[0, 11] == {
        (wiring.FILLER, *wiring.MISSED_PAIR): (94, 94)
    }


def test_trigram_neurons(variant):
    found = studies.read_triggers(variant, 3)
    assert not {(0, 3), (2, 3)} & studies.read_triggers(variant, 2).keys()
    assert set(found[0, 3]) == set(found[2, 3]) == {wiring.TRIGRAM}
    assert set(found[2, 4]) == {
        wiring.TRIGRAM,
        (wiring.TRIGRAM[0], 19, wiring.TRIGRAM[2]),
    }
    ((count, occurrences),) = found[0, 3].values()
    assert count == occurrences > 10


@cases.each("n", [1, 2, 3])
def test_all_neurons_agree_with_their_wiring(variant, n):
    """Coverage, activations and detectors of every neuron, by a dictionary for each."""
    windows, lengths = variant.read("tokens"), variant.read("window_length")
    occurring = study_oracle.find_ngrams(windows, lengths, n)
    occurrences = collections.Counter(occurring.ngrams)
    coverage = variant.read("ngram_coverage")[n - 1]
    total = variant.read("ngram_activation_count")[n - 1]
    expected = {}
    for layer, mask in enumerate(planted_ngrams.active(wiring.LAYERS, windows)):
        for neuron in range(planted_ngrams.NEURONS):
            activations = occurring.activations(mask[:, :, neuron])
            assert coverage[layer, neuron] == study_oracle.covering(activations)
            assert total[layer, neuron] == activations.total()
            if triggers := study_oracle.triggers(occurrences, activations):
                expected[layer, neuron] = triggers
    assert studies.read_triggers(variant, n) == expected


def test_layers_as_ensembles(variant):
    rows = studies.summary(variant)["ngrams"]["1"]["layers"]
    names = ("detectors", "ngrams", "new_overall", "new_against_previous", "cumulative")
    # Layer 0 has 1 + 3 + 1 + 1 tokens; layer 1 has ONE again and LATE; layer 2 has ONE and
    # two of SET, which layer 1 has not.
    assert [[row[name] for name in names] for row in rows] == [
        [4, 6, 6, 6, 6],
        [2, 2, 1, 1, 7],
        [2, 3, 0, 2, 7],
    ]
    assert [row["alive"] for row in rows] == [12, 4, 5]


def test_bigram_ensembles(variant):
    """The triggers of all layers' detectors, from their lines."""
    found = studies.read_triggers(variant, 2)
    of_layer = [
        {ngram for (layer, _), own in found.items() if layer == wanted for ngram in own}
        for wanted in range(3)
    ]
    below = itertools.accumulate([set(), *of_layer], set.union)
    previous = [set(), *of_layer]
    rows = studies.summary(variant)["ngrams"]["2"]["layers"]
    for row, own, older, last in zip(rows, of_layer, below, previous, strict=False):
        assert row["ngrams"] == len(own) > 0
        assert row["new_overall"] == len(own - older)
        assert row["new_against_previous"] == len(own - last)
        assert row["cumulative"] == len(own | older)


def test_suppression_is_what_the_outputs_say(record):
    lines = studies.read_lines(record, "detectors_1.jsonl")
    assert lines[0, 0]["mean_projection"] == pytest.approx(-0.02)
    assert lines[0, 1]["mean_projection"] == pytest.approx((-0.03 + 0.01) / 3)
    assert lines[1, 0]["mean_projection"] == pytest.approx(0.02)
    assert lines[0, 0]["suppressed"][0]["id"] == wiring.ONE
    assert lines[1, 0]["promoted"][0]["id"] == wiring.ONE
    assert lines[0, 1]["promoted"][0]["id"] == wiring.SET[1]
    section = studies.summary(record)["suppression"]
    # Of (0, 0), (0, 1), (0, 5), (0, 7), (1, 0), (1, 1), (2, 0) and (2, 1) four write nothing.
    overall = section["overall"]["detectors"]
    assert overall["number"] == 8
    assert overall["mean_negative"] == 3 / 8
    assert overall["all_negative"] == 2 / 8
    # The vocabulary is too small for it to mean anything.
    assert overall["among_lowest"] is None
    layers = [layer["detectors"]["mean_negative"] for layer in section["layers"]]
    assert layers == [2 / 4, 1 / 2, 0]


def test_suppression_reads_through_project_out(record_350m):
    """The same outputs, turned round by project_out."""
    lines = studies.read_lines(record_350m, "detectors_1.jsonl")
    assert lines[0, 0]["mean_projection"] == pytest.approx(0.02)
    assert lines[1, 0]["mean_projection"] == pytest.approx(-0.02)
    assert lines[0, 1]["suppressed"][0]["id"] == wiring.SET[1]


@pytest.mark.campaign
def test_layers_below_the_first_asked_for_still_look_back(record, sources, tmp_path):
    """Alone, the last layer has the neurons it has; what is new is counted among the layers asked for."""
    alone = run_planted(tmp_path, sources, layers=(2, 2))
    for n in (1, 2, 3):
        expected = {
            place: own
            for place, own in studies.read_triggers(record, n).items()
            if place[0] == 2
        }
        assert studies.read_triggers(alone, n) == expected != {}
    (row,) = studies.summary(alone)["ngrams"]["1"]["layers"]
    assert (row["ngrams"], row["new_overall"]) == (3, 3)
    assert row["new_against_previous"] is None

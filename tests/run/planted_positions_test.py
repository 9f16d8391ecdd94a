"""Neurons wired to position codes come out as the type and strength planted, on any text (paper §5)."""

import math

import numpy as np
import pytest

from tests.support import cases, planted, planted_positions, studies, study_oracle
from tests.support.planted_positions import POSITIONS, Neuron

STEP, WAVE, FASTEST = planted_positions.PERIODS
# Shares in twentieths. Each neuron with its type and strength; None for one that is not positional.
LAYERS = [
    [
        (Neuron(WAVE), ("oscillatory", "strong")),
        (Neuron(STEP, -1), ("both", "strong")),
        (Neuron(STEP, -1, off=8), ("one", "strong")),
        (Neuron(STEP, -1, on=5, off=5), ("other", "strong")),
        (Neuron(None), None),
        (Neuron(WAVE, -1), ("oscillatory", "strong")),
        (Neuron(WAVE), ("oscillatory", "strong")),
        (Neuron(None, on=6), None),
    ],
    [
        (Neuron(WAVE, on=4, off=4), ("oscillatory", "weak")),
        (Neuron(STEP, on=1, off=1), ("both", "weak")),
        (Neuron(STEP, -1, on=1, off=8), ("one", "weak")),
        (Neuron(FASTEST, on=6, off=6), ("other", "weak")),
        (Neuron(STEP, on=6), ("one", "strong")),
        (Neuron(WAVE, on=8, off=8), None),
        (Neuron(None, on=20), None),
    ],
]
WIRING = [[neuron for neuron, _ in layer] for layer in LAYERS]
PLANTED = {
    (layer, index): (neuron, kind)
    for layer, neurons in enumerate(LAYERS)
    for index, (neuron, kind) in enumerate(neurons)
}
TYPED = {place: kind for place, (_, kind) in PLANTED.items() if kind is not None}
ROUNDS = (6, 4)
WINDOWS = [rounds * planted_positions.DOMAIN_TOKENS for rounds in ROUNDS]
# The smoothed wave stands at 0.5 one position before it rises, and at the last before it falls.
HIGH_RANGES = [[1, 15], [47, 79], [111, 143], [175, 207], [239, 255]]
LOW_RANGES = [[15, 47], [79, 111], [143, 175], [207, 239]]


def write_sources(folder, texts):
    return [
        (name, planted.write_documents(folder / f"{name}.jsonl", [text]))
        for name, text in texts.items()
    ]


def run_planted(path, texts):
    stored = planted_positions.write_store(path / "store", WIRING)
    sources = write_sources(path, texts)
    # What the tests do not look at would take most of the time.
    unseen = {"ngrams": False, "examples": 0, "suppression": False}
    return studies.run_study(path / "study", stored, sources, **unseen)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Two domains without a token in common, each with a last window that is not full."""
    texts = {
        f"domain_{domain}": planted_positions.balanced_text(domain, rounds, seed=domain)
        + [planted_positions.FIRST_TOKEN] * (17 + domain)
        for domain, rounds in enumerate(ROUNDS)
    }
    return run_planted(tmp_path_factory.mktemp("planted"), texts)


@pytest.fixture(scope="module")
def records(record):
    return studies.read_lines(record, "positional.jsonl")


def test_counts_are_what_is_planted(record):
    count = record.read("position_count")
    assert count.dtype == np.uint16
    for (layer, index), (neuron, _) in PLANTED.items():
        frequency = planted_positions.frequency(neuron)
        for domain, windows in enumerate(WINDOWS):
            counted = count[domain, layer, :, index] / windows
            np.testing.assert_allclose(counted, frequency, rtol=1e-12)


def test_types_and_strengths_are_those_planted(records):
    found = {place: (line["type"], line["strength"]) for place, line in records.items()}
    assert found == TYPED


def test_information_is_the_closed_form(record, records):
    """Of the planted frequency, in every domain and over all."""
    information = record.read("mutual_information")
    assert information.shape == (len(WINDOWS) + 1, 2, planted_positions.NEURONS)
    for (layer, index), (neuron, _) in PLANTED.items():
        frequency = planted_positions.frequency(neuron)
        for row, windows in enumerate([*WINDOWS, sum(WINDOWS)]):
            counts = np.rint(frequency * windows).astype(int).tolist()
            expected = study_oracle.mutual_information(counts, windows)
            assert information[row, layer, index] == pytest.approx(expected, abs=1e-12)
        if (layer, index) in records:
            line = records[layer, index]
            assert line["mutual_information"] == information[-1, layer, index]
            assert line["frequency"] == pytest.approx(frequency.mean())


def test_information_of_a_perfect_indicator_is_ln_2(record):
    information = record.read("mutual_information")
    np.testing.assert_allclose(information[:, 0, [0, 1, 5]], math.log(2), rtol=1e-12)
    assert (information[:, :, 8] == 0).all()


def test_domains_agree(records):
    for line in records.values():
        np.testing.assert_allclose(line["correlation"], np.ones((2, 2)), atol=1e-9)


def test_ranges_and_what_they_cover(record, records):
    expected = {(0, 0): HIGH_RANGES, (0, 5): LOW_RANGES, (0, 6): HIGH_RANGES}
    for place, line in records.items():
        assert line["ranges"] == expected.get(place, [])
    layers = studies.summary(record)["positions"]["layers"]
    joined = layers[0]["strong_oscillatory"]
    assert sorted(joined["neurons"]) == [0, 5, 6]
    assert joined["union"] == [[1, POSITIONS - 1]]
    assert joined["covered_share"] == 1
    # Either of the two alike can go, the one between them cannot.
    assert sorted(joined["redundant"]) == [0, 6]
    assert layers[1]["strong_oscillatory"]["neurons"] == []


def test_summary_counts_types(record):
    section = studies.summary(record)["positions"]
    assert section["positional"] == len(TYPED)
    for kind, strengths in section["counts"].items():
        for strength, number in strengths.items():
            assert number == list(TYPED.values()).count((kind, strength)), kind
    assert [domain["full_windows"] for domain in section["domains"]] == WINDOWS
    # 200 are just enough.
    assert section["full_windows"] == sum(WINDOWS) == 200
    assert section["few_windows"] is False
    assert section["warning"] is None


def random_text(windows, seed):
    """Any text, of any document length, over all tokens."""
    rng = np.random.default_rng(seed)
    size = windows * (POSITIONS - 1)
    low, high = planted_positions.FIRST_TOKEN, planted_positions.VOCABULARY
    return rng.choice(rng.integers(low, high, 7), size).tolist()


@pytest.mark.campaign
def test_other_text_finds_the_same_where_no_token_overrules(tmp_path):
    """Few full windows, in two domains too few to say anything: said, and no type changes."""
    texts = {
        "three": random_text(3, 0),
        "none": random_text(1, 1)[:-1],
        "one": random_text(1, 2),
    }
    record = run_planted(tmp_path, texts)
    records = studies.read_lines(record, "positional.jsonl")
    for place, (neuron, kind) in PLANTED.items():
        if neuron.on == neuron.off == 0 and kind is not None:
            line = records[place]
            assert (line["type"], line["strength"]) == kind
            assert line["mutual_information"] == pytest.approx(math.log(2))
            by_domain = line["mutual_information_by_domain"]
            assert by_domain == [pytest.approx(math.log(2)), None, None]
            unknown = [None] * 3
            assert line["correlation"] == [
                [pytest.approx(1), None, None],
                unknown,
                unknown,
            ]
            assert line["positional_after_bias"] is True
    information = record.read("mutual_information")
    assert np.isnan(information).all(axis=(1, 2)).tolist() == [False, True, True, False]
    section = studies.summary(record)["positions"]
    assert section["few_windows"] is True
    assert section["warning"].startswith("4 full windows, fewer than 200")
    assert [domain["full_windows"] for domain in section["domains"]] == [3, 0, 1]


@pytest.mark.campaign
@cases.each("windows", [0, 1])
def test_fewer_than_two_full_windows(tmp_path, windows):
    text = random_text(windows + 1, windows)[: windows * (POSITIONS - 1) + 40]
    record = run_planted(tmp_path, {"few": text})
    assert np.isnan(record.read("mutual_information")).all()
    assert (tmp_path / "study" / "positional.jsonl").read_text() == ""
    count = record.read("position_count")
    assert count.max() == windows
    section = studies.summary(record)["positions"]
    assert section["positional"] == 0
    assert section["warning"].startswith(f"{windows} full windows, fewer than 2")
    # The rest of the study does not need full windows.
    assert record.read("activation_count")[0, 0, 0] > 0

"""n-gram detectors against a plain reading of their definition, and at every border of it."""

from collections import defaultdict
from fractions import Fraction

import hypothesis
import numpy as np
from hypothesis import strategies

from jaxneurons import terms
from jaxneurons.stats import detectors, thresholds


def brute_coverage(counts, share):
    """The smallest number of n-grams with the share of the activations. counts: n-gram -> activations."""
    total, running = sum(counts.values()), Fraction(0)
    for number, activations in enumerate(sorted(counts.values(), reverse=True), 1):
        running += activations
        if running >= share * total:
            return number
    return 0


def brute_detectors(counts, occurrences, criteria, n):
    """neuron -> its triggers. counts: neuron -> n-gram -> activations; occurrences: n-gram -> its occurrences."""
    found = {}
    for neuron, of_neuron in counts.items():
        if (
            not 1
            <= brute_coverage(of_neuron, criteria.coverage_share)
            <= criteria.most(n)
        ):
            continue
        triggers = {
            ngram: count
            for ngram, count in of_neuron.items()
            if count >= criteria.trigger_share * occurrences[ngram]
            and occurrences[ngram] >= criteria.min_occurrences
        }
        if sum(triggers.values()) >= criteria.coverage_share * sum(of_neuron.values()):
            found[neuron] = triggers
    return found


def layer_counts(
    counts, occurrences, n=1, neurons=None, rule=thresholds.STORED, seed=0
):
    """What a study stores of these counts; candidates in random order, as no order is promised."""
    neurons = neurons if neurons is not None else max(counts, default=-1) + 1
    coverage = np.zeros(neurons, np.int32)
    total = np.zeros(neurons, np.int64)
    rows = []
    for neuron, of_neuron in counts.items():
        coverage[neuron] = brute_coverage(of_neuron, terms.COVERAGE_SHARE)
        total[neuron] = sum(of_neuron.values())
        if 1 <= brute_coverage(of_neuron, rule.coverage_share) <= rule.most_ngrams:
            rows += [(neuron, *g, c, occurrences[g]) for g, c in of_neuron.items() if c]
    table = np.array(rows, np.int32).reshape(-1, n + 3)
    table = np.random.default_rng(seed).permutation(table)
    columns = (table[:, 0], table[:, 1:-2], table[:, -2], table[:, -1])
    return detectors.LayerCounts(7, coverage, total, in_blocks(columns, seed))


def in_blocks(columns, seed):
    """The candidates in one to three blocks, each with all of some neurons'."""
    borders = np.random.default_rng(seed).integers(0, 4, 2)
    block = np.searchsorted(np.sort(borders), columns[0], side="right")
    return [
        detectors.Candidates(*(column[block == number] for column in columns))
        for number in range(3)
    ]


def piece(token):
    return f"<{token}>"


def find_records(counts, rule=thresholds.STORED, **criteria):
    """The records of the detectors found under these criteria."""
    found = detectors.find_detectors(counts, thresholds.Criteria(**criteria), rule)
    return list(detectors.make_records(found, piece))


def find(counts, occurrences, n=1, **criteria):
    """Neuron -> triggers (ids -> activations) found under these criteria."""
    found = find_records(layer_counts(counts, occurrences, n), **criteria)
    return {
        d["neuron"]: {tuple(t["ids"]): t["activations"] for t in d["triggers"]}
        for d in found
    }


@strategies.composite
def masked_text(draw):
    """n, and neuron -> n-gram -> activations with n-gram -> occurrences, counted from a random mask."""
    n = draw(strategies.integers(1, 3))
    vocabulary = draw(strategies.integers(1, 12))
    length = draw(strategies.integers(0, 400))
    generator = np.random.default_rng(draw(strategies.integers(0, 2**32)))
    tokens = generator.integers(vocabulary, size=length)
    # Neurons that know tokens, with a little noise, are detectors or nearly so.
    rates = generator.random((6, vocabulary)) ** draw(strategies.sampled_from([1, 8]))
    rates = np.where(generator.random(rates.shape) < 0.3, 1 - rates**8, rates**8)
    counts, occurrences = defaultdict(lambda: defaultdict(int)), defaultdict(int)
    for end in range(n - 1, length):
        ngram = tuple(tokens[end - n + 1 : end + 1].tolist())
        occurrences[ngram] += 1
        for neuron in np.flatnonzero(generator.random(6) < rates[:, tokens[end]]):
            counts[int(neuron)][ngram] += 1
    return n, counts, occurrences


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(
    masked_text(),
    strategies.sampled_from(["0.5", "0.9", "0.95", "0.96", "0.99", "1"]),
    strategies.sampled_from(["0.5", "0.9", "0.95", "1"]),
    strategies.integers(1, 8),
    strategies.integers(1, 3),
)
def test_detectors_are_those_of_the_definition(
    text, coverage_share, trigger_share, most, min_occurrences
):
    n, counts, occurrences = text
    chosen = {
        "coverage_share": thresholds.parse_share("coverage_share", coverage_share),
        "trigger_share": thresholds.parse_share("trigger_share", trigger_share),
        "most_unigrams": most,
        "most_ngrams": most,
        "min_occurrences": min_occurrences,
    }
    criteria = thresholds.Criteria(**chosen)
    rule = thresholds.STORED
    if criteria.coverage_share < rule.coverage_share:
        rule = thresholds.CandidateRule(coverage_share=Fraction(1, 2))
    stored = layer_counts(counts, occurrences, n, rule=rule)
    found = find_records(stored, rule, **chosen)
    expected = brute_detectors(counts, occurrences, criteria, n)
    assert [d["neuron"] for d in found] == sorted(expected)
    for detector in found:
        triggers = expected[detector["neuron"]]
        order = sorted(triggers, key=lambda ngram: (-triggers[ngram], ngram))
        assert detector == {
            "layer": 7,
            "neuron": detector["neuron"],
            "coverage": brute_coverage(
                counts[detector["neuron"]], criteria.coverage_share
            ),
            "triggers": [
                {
                    "ids": list(ngram),
                    "text": "".join(map(piece, ngram)),
                    "activations": triggers[ngram],
                    "occurrences": occurrences[ngram],
                }
                for ngram in order
            ],
        }


def test_active_on_exactly_95_percent_of_occurrences_is_a_trigger():
    assert find({0: {(3,): 95}}, {(3,): 100}) == {0: {(3,): 95}}


def test_active_on_94_percent_of_occurrences_is_no_trigger():
    assert find({0: {(3,): 94}}, {(3,): 100}) == {}


def test_triggers_with_exactly_95_percent_of_activations_make_a_detector():
    counts, occurrences = {0: {(3,): 95, (4,): 5}}, {(3,): 95, (4,): 100}
    assert find(counts, occurrences) == {0: {(3,): 95}}


def test_triggers_with_94_percent_of_activations_make_none():
    counts, occurrences = {0: {(3,): 94, (4,): 6}}, {(3,): 94, (4,): 100}
    assert find(counts, occurrences) == {}


def test_a_share_is_exact_where_floats_are_not():
    assert not 55 >= 0.55 * 100
    assert find({0: {(3,): 55}}, {(3,): 100}, trigger_share=0.55) == {0: {(3,): 55}}


def test_a_detector_has_all_its_triggers_even_more_than_its_coverage():
    counts = {0: {(1,): 960, (2,): 10, (3,): 10, (4,): 10, (5,): 5, (6,): 5}}
    occurrences = {ngram: count for ngram, count in counts[0].items()}
    found = find_records(layer_counts(counts, occurrences), most_unigrams=1)
    assert found[0]["coverage"] == 1
    assert [t["ids"] for t in found[0]["triggers"]] == [[1], [2], [3], [4], [5], [6]]


def test_limits_of_coverage_by_n():
    six = {(i,): 10 for i in range(6)}
    assert find({0: six}, six) == {}
    assert find({0: six}, six, most_unigrams=6) == {0: six}
    for number, expected in ((52, True), (53, False)):
        # 95 % of 52 equal n-grams are 49.4 of them, of 53 they are 50.35.
        bigrams = {(i, i): 1 for i in range(number)}
        assert bool(find({0: bigrams}, bigrams, n=2)) is expected


def test_a_neuron_active_on_every_token_detects_only_a_small_vocabulary():
    few = {(i,): 100 for i in range(5)}
    many = {(i,): 100 for i in range(200)}
    assert find({0: few}, few) == {0: few}
    assert find({0: many}, many) == {}


def test_a_neuron_active_on_special_tokens_only_is_no_detector():
    counts = layer_counts({}, {}, neurons=3)
    assert counts.coverage.tolist() == [0, 0, 0]
    assert find_records(counts) == []


def test_a_corpus_shorter_than_n_has_no_detectors():
    counts = layer_counts({}, {}, n=3, neurons=2)
    assert find_records(counts) == []


def test_an_ngram_seen_once_counts_unless_more_occurrences_are_asked_for():
    assert find({0: {(5, 6): 1}}, {(5, 6): 1}, n=2) == {0: {(5, 6): 1}}
    assert find({0: {(5, 6): 1}}, {(5, 6): 1}, n=2, min_occurrences=2) == {}


def test_triggers_with_equal_activations_are_ordered_by_all_their_ids():
    bigrams = {(9, 1): 4, (2, 8): 4, (2, 3): 4, (5, 5): 7}
    found = find({0: bigrams}, bigrams, n=2)
    assert list(found[0]) == [(5, 5), (2, 3), (2, 8), (9, 1)]


def test_a_higher_coverage_share_raises_coverage_beyond_the_limit():
    counts = {0: {(i,): c for i, c in enumerate([96, 1, 1, 1, 1])}}
    occurrences = dict(counts[0])
    assert find(counts, occurrences, most_unigrams=1)
    assert find(counts, occurrences, most_unigrams=1, coverage_share="0.97") == {}
    assert find(counts, occurrences, most_unigrams=2, coverage_share="0.97")


def test_text_joins_vocabulary_pieces():
    words = ["Ġtitle", "s"]
    counts = layer_counts({0: {(0, 1): 3}}, {(0, 1): 3}, n=2)
    found = detectors.find_detectors(counts, thresholds.Criteria())
    (record,) = detectors.make_records(found, words.__getitem__)
    assert record["triggers"][0]["text"] == "Ġtitles"

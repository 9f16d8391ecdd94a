"""Thresholds: exact shares, and refusals of what stored candidates cannot answer."""

import json
from fractions import Fraction

import pytest

from jaxneurons import errors
from jaxneurons.stats import thresholds
from tests.support import cases


@cases.each("value", ["0.95", ".95", 0.95, Fraction(19, 20)])
def test_a_share_is_the_decimal_that_was_written(value):
    assert thresholds.parse_share("share", value) == Fraction(95, 100)


@cases.each(
    "value",
    [
        "0",
        "1.1",
        "-0.5",
        "nan",
        "inf",
        "95%",
        "",
        "1/3",
        "0.1234567",
        "1/0",
        "1e999999999",
    ],
)
def test_what_is_no_share_is_refused_by_name_and_value(value):
    with pytest.raises(errors.UsageError, match=f"coverage_share is {value}. Choose"):
        thresholds.parse_share("coverage_share", value)


def test_criteria_keep_shares_exact_and_print_them_as_written():
    criteria = thresholds.Criteria(trigger_share=0.9)
    assert criteria.trigger_share == Fraction(9, 10)
    # As text, which tells 5 from 5.0.
    assert json.dumps(criteria.to_json()) == json.dumps(
        {
            "coverage_share": 0.95,
            "trigger_share": 0.9,
            "most_unigrams": 5,
            "most_ngrams": 50,
            "min_occurrences": 1,
            "attested_occurrences": 20,
        }
    )


@cases.each(
    "name",
    ["most_unigrams", "most_ngrams", "min_occurrences", "attested_occurrences"],
)
def test_limits_start_at_one(name):
    with pytest.raises(errors.UsageError, match=f"{name} is 0. Choose"):
        thresholds.Criteria(**{name: 0})


@cases.each(
    "changes, n",
    [
        ({"coverage_share": "0.95"}, 1),
        ({"coverage_share": "0.99"}, 1),
        ({"trigger_share": "0.01", "min_occurrences": 1000}, 2),
        ({"most_unigrams": 64}, 1),
        ({"most_ngrams": 64}, 3),
        ({"most_ngrams": 65}, 1),
        ({"most_unigrams": 65}, 2),
    ],
)
def test_answerable(changes, n):
    thresholds.refuse_unanswerable(thresholds.Criteria(**changes), n, thresholds.STORED)


@cases.each(
    "changes, n, words",
    [
        (
            {"coverage_share": "0.949999"},
            1,
            "coverage_share is 0.949999, but",
        ),
        ({"most_unigrams": 65}, 1, "most_unigrams is 65, but"),
        ({"most_ngrams": 65}, 2, "most_ngrams is 65, but"),
    ],
)
def test_unanswerable_is_refused_with_the_reason(changes, n, words):
    with pytest.raises(errors.UsageError, match=f"{words} this study keeps candidates"):
        thresholds.refuse_unanswerable(
            thresholds.Criteria(**changes), n, thresholds.STORED
        )


def test_a_lower_share_is_refused_since_neurons_without_candidates_could_qualify():
    # One n-gram has half of the activations, 1000 others the rest: coverage is beyond 64 at 0.95
    # and 1 at 0.5, and such a neuron has no candidates.
    counts = [1000] + [1] * 1000
    assert sum(counts[:64]) < 0.95 * sum(counts) and counts[0] >= 0.5 * sum(counts)
    with pytest.raises(errors.UsageError):
        thresholds.refuse_unanswerable(
            thresholds.Criteria(coverage_share="0.5"), 1, thresholds.STORED
        )

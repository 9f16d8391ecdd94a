"""What makes a neuron an n-gram detector (paper §4.2), and which such questions a study can answer.

In: thresholds as they are written on a command line. Out: exact shares, or a refusal where the candidates
that a study stores do not hold the answer.
"""

import dataclasses
import re
from fractions import Fraction
from typing import Any

from jaxneurons import errors, terms

# A share has at most six decimals, so that count times denominator fits int64 below 2**43 tokens.
SHARE_UNITS = 10**6
_LARGE_EXPONENT = re.compile("[eE][+-]?[0-9]{3}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Criteria:
    """What makes a neuron an n-gram detector.

    Attributes:
        coverage_share: the share of a neuron's activations that defines its coverage, and that its
            triggers have to account for; in (0, 1], at most six decimals.
        trigger_share: the share of an n-gram's occurrences on which the neuron is active, from which
            on the n-gram is a trigger; same bounds.
        most_unigrams: the largest coverage of a detector for n = 1.
        most_ngrams: the same for n = 2, 3.
        min_occurrences: an n-gram seen fewer times is no trigger.
        attested_occurrences: a detector whose triggers occur fewer times in all may be chance, and is
            counted by itself.
    """

    coverage_share: Fraction = terms.COVERAGE_SHARE
    trigger_share: Fraction = Fraction(95, 100)
    most_unigrams: int = 5
    most_ngrams: int = 50
    min_occurrences: int = 1
    attested_occurrences: int = 20

    def __post_init__(self):
        for name in ("coverage_share", "trigger_share"):
            object.__setattr__(self, name, parse_share(name, getattr(self, name)))
        for name in (
            "most_unigrams",
            "most_ngrams",
            "min_occurrences",
            "attested_occurrences",
        ):
            if getattr(self, name) < 1:
                raise errors.UsageError(
                    f"{name} is {getattr(self, name)}. Choose an integer from 1 on."
                )

    def most(self, n: int) -> int:
        """The largest coverage of an n-gram detector."""
        return self.most_unigrams if n == 1 else self.most_ngrams

    def to_json(self) -> dict[str, Any]:
        """The criteria as plain JSON values; a share is the float that prints as its decimals."""
        fields = dataclasses.asdict(self)
        return {
            name: float(value) if isinstance(value, Fraction) else value
            for name, value in fields.items()
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class CandidateRule:
    """Which neurons have candidates: those of coverage 1 to `most_ngrams` at `coverage_share`."""

    coverage_share: Fraction = terms.COVERAGE_SHARE
    most_ngrams: int = terms.CANDIDATE_COVERAGE


# What a study is written with where it is not asked to keep more.
STORED = CandidateRule()


def parse_share(name: str, value: str | float | Fraction) -> Fraction:
    """The exact share that a decimal means: 0.95 is 95/100, not the float nearest to it.

    Raises:
        UsageError: not a number in (0, 1] of at most six decimals; `name` says which flag it was.
    """
    text = str(value)
    try:
        # To write "1e999999999" out would take hours.
        share = Fraction(0 if _LARGE_EXPONENT.search(text) else text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share <= 1 or SHARE_UNITS % share.denominator:
        raise errors.UsageError(
            f"{name} is {value}. Choose a number above 0 and at most 1, with at most six decimals."
        )
    return share


def refuse_unanswerable(criteria: Criteria, n: int, rule: CandidateRule) -> None:
    """Raises where neurons without candidates could be detectors.

    Coverage only rises with the share, so at a higher share than the stored one, a neuron within the
    limit has a stored coverage within it too, and has candidates. At a lower share a neuron beyond
    the rule may have any coverage from 1 on. `trigger_share` and `min_occurrences` only choose among
    a neuron's candidates, which are all its n-grams: every value is answered.

    Raises:
        UsageError: a lower coverage_share, or a larger limit, than the candidates were kept for.
    """
    if criteria.coverage_share < rule.coverage_share:
        share = float(criteria.coverage_share)
        raise errors.UsageError(
            f"coverage_share is {share}, but this study keeps candidates that answer {float(rule.coverage_share)} and "
            "more. Run the study again with candidates kept for a lower share.",
            {"candidate_share": share},
        )
    if criteria.most(n) > rule.most_ngrams:
        name = "most_unigrams" if n == 1 else "most_ngrams"
        raise errors.UsageError(
            f"{name} is {criteria.most(n)}, but this study keeps candidates that answer up to {rule.most_ngrams}. "
            "Run the study again with candidates kept of neurons of larger coverage.",
            {"candidate_coverage": criteria.most(n)},
        )

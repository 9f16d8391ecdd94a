"""Every figure and claim of the paper that has a number, as data: where it stands, what it says, and when a study agrees.

A claim has a value per model, read from an opened study, and a rule that says whether the values of the
models that it is about agree with the paper. Margins are ours: the paper gives none, and its text is not
published. Models are named by size; 350m is left out of trends, as the paper does (§6).
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jaxneurons.analysis import claim_values
from jaxneurons.studies.results import Results

SIZES = ("125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b")
# The models of §5.4: 125m trained without positions, and with them for so many batches.
TRAINED = ("no positions", "50k", "150k", "300k")
FAMILY = tuple(size for size in SIZES if size != "350m")
SMALL, LARGE = FAMILY[:3], FAMILY[3:]
# A step against a trend that still agrees, as a share of the largest value.
SLACK = 0.05

Values = Mapping[str, float]


class Rule(NamedTuple):
    """When the values of a claim's models agree.

    Attributes:
        paper: the paper's value, in words.
        margin: what counts as agreement, in words.
        agrees: whether values by model do; the models are in their order.
        least: how many models it takes.
        needs: models without which nothing can be said.
    """

    paper: str
    margin: str
    agrees: Callable[[Values], bool]
    least: int = 1
    needs: frozenset[str] = frozenset()


class Claim(NamedTuple):
    """One number of the paper.

    Attributes:
        section: where it stands, with the figure.
        text: what is said.
        models: whom it is about.
        value: of a model, from its study; None where the study does not say.
        rule: when values agree.
        is_share: whether values are shares, shown in per cent.
    """

    section: str
    text: str
    models: tuple[str, ...]
    value: Callable[[Results], float | None]
    rule: Rule
    is_share: bool = False


def _each(paper: str, margin: str, holds: Callable[[float], bool]) -> Rule:
    """Every model agrees by itself."""
    return Rule(paper, margin, lambda values: all(map(holds, values.values())))


def _trend(paper: str, sign: int) -> Rule:
    """Values rise (1) or fall (-1) with size."""

    def agrees(values: Values) -> bool:
        found = [sign * value for value in values.values()]
        slack = SLACK * max(map(abs, found))
        steps = itertools.pairwise(found)
        return found[-1] > found[0] and all(b >= a - slack for a, b in steps)

    return Rule(
        paper, f"no step back of more than {SLACK:.0%} of the largest", agrees, 2
    )


def _jump(values: Values) -> bool:
    """30b has at least twice the value of 13b, and no other step up to it is as large."""
    found = list(values.items())
    steps = {
        size: value / before if before else float("inf") if value else 1.0
        for (_, before), (size, value) in itertools.pairwise(found)
    }
    before = [step for size, step in steps.items() if size not in ("30b", "66b")]
    return steps["30b"] >= max([2, *before])


_NONE = _each("0", "exactly", lambda value: value == 0)
_MOSTLY_NEW = _each("mostly", "more than 50 %", lambda value: value > 0.5)

CLAIMS: tuple[Claim, ...] = (
    Claim("§2, §3", "tokens of text, for dead neurons", SIZES, claim_values.tokens, _each("> 20M", "more than 20M", lambda v: v > 20e6)),
    Claim("§3, Fig. 1a", "dead neurons in the layer with most", ("66b",), claim_values.most_dead, _each("> 70 %", "more than 70 %", lambda v: v > 0.7), True),
    Claim("§3, Fig. 1a", "dead neurons grow in number with size", FAMILY, claim_values.dead, _trend("grow", 1), True),
    Claim("§3, Fig. 1b", "alive neurons are active less often with size", FAMILY, claim_values.frequency, _trend("fall", -1), True),
    Claim("§3, Fig. 1a", "dead neurons in the second half", FAMILY, claim_values.dead_late, _each("0 %", "at most 1 %", lambda v: v <= 0.01), True),
    Claim("§4.1, Fig. 2", "first-half neurons that 1 to 5 tokens cover grow with size", FAMILY, claim_values.covered_by_few(1), _trend("grow", 1), True),
    Claim("§A.1, Fig. 12", "first-half neurons that 1 to 50 bigrams cover grow with size", FAMILY, claim_values.covered_by_few(2), _trend("grow", 1), True),
    Claim("§A.1, Fig. 13", "first-half neurons that 1 to 50 trigrams cover grow with size", FAMILY, claim_values.covered_by_few(3), _trend("grow", 1), True),
    Claim("§4.2, Fig. 3a", "token detectors", ("66b",), claim_values.total("detectors", 1), _each("5,351", "within 10 %", lambda v: abs(v - 5351) <= 535.1)),
    Claim("§4.2, Fig. 3a", "token detectors grow in number with size", FAMILY, claim_values.total("detectors", 1), _trend("grow", 1)),
    Claim("§4.2, Fig. 3a", "token detectors in the first layer, against the layer with most: many from 13b on", ("13b", "30b", "66b"), claim_values.first_layer, _each("many", "at least 10 %", lambda v: v >= 0.1), True),
    Claim("§4.2, Fig. 5", "of the four neurons shown, those that detect their word", ("66b",), claim_values.figure_5, _each("4", "exactly", lambda v: v == 4)),
    Claim("§4.3, Fig. 3b", "tokens covered in the layer with most", ("66b",), claim_values.most_tokens, _each("<= 1,500", "at most 1,500", lambda v: v <= 1500)),
    Claim("§4.3, Fig. 3b", "tokens covered in all layers", ("66b",), claim_values.covered(1), _each("> 10,000", "more than 10,000", lambda v: v > 10_000)),
    Claim("§4.3, Fig. 4", "covered tokens that no layer below covers", FAMILY, claim_values.new_share(1), _MOSTLY_NEW, True),
    Claim("§4.4", "token detectors that suppress their triggers", SIZES, claim_values.suppressing, _each("> 80 %", "more than 80 %", lambda v: v > 0.8), True),
    Claim("§4.5", "bigram detectors grow in number with size", FAMILY, claim_values.total("detectors", 2), _trend("grow", 1)),
    Claim("§4.5", "covered bigrams that no layer below covers", FAMILY, claim_values.new_share(2), _MOSTLY_NEW, True),
    Claim("§A.2, Fig. 14a", "trigram detectors grow in number with size", FAMILY, claim_values.total("detectors", 3), _trend("grow", 1)),
    Claim("§A.2, Fig. 14b", "covered trigrams jump at 30b", FAMILY, claim_values.covered(3), Rule("drastic jump", "twice those of 13b or more, and the largest step so far", _jump, 2, frozenset({"13b", "30b"}))),
    Claim("§A.3, Fig. 15", "covered trigrams that no layer below covers", FAMILY, claim_values.new_share(3), _MOSTLY_NEW, True),
    Claim("§5.3, Fig. 8", "oscillatory neurons, more than of the next type, below 6.7b", SMALL, claim_values.positions(claim_values.lead), _each("most", "more than 0", lambda v: v > 0)),
    Claim("§5.3, Fig. 8", "oscillatory neurons from 6.7b on", LARGE, claim_values.positions(claim_values.of_type("oscillatory")), _NONE),
    Claim("§5.3, Fig. 8", "positional neurons with both extremes, from 13b to 66b", ("13b", "30b", "66b"), claim_values.positions(claim_values.share_of_type("both")), _trend("fall", -1), True),
    Claim("§5.3, Fig. 8", "positional neurons with one extreme, from 13b to 66b", ("13b", "30b", "66b"), claim_values.positions(claim_values.share_of_type("one")), _trend("grow", 1), True),
    Claim("§5.3, Fig. 9", "strong oscillatory neurons in the second layer", ("125m",), claim_values.positions(claim_values.second_layer(lambda row: len(row["neurons"]))), _each("10", "exactly", lambda v: v == 10)),
    Claim("§5.3, Fig. 9", "positions that they cover", ("125m",), claim_values.positions(claim_values.second_layer(lambda row: row["covered_share"])), _each("100 %", "at least 99 %", lambda v: v >= 0.99), True),
    Claim("§5.3, Fig. 9", "redundant neurons among them", ("125m",), claim_values.positions(claim_values.second_layer(lambda row: len(row["redundant"]))), _NONE),
    Claim("§5.4, Fig. 10", "oscillatory neurons without position embeddings", ("no positions",), claim_values.positions(claim_values.of_type("oscillatory")), _NONE),
    Claim("§5.4, Fig. 10", "strong positional neurons without position embeddings", ("no positions",), claim_values.positions(claim_values.strong_count), _each("many", "more than 0", lambda v: v > 0)),
    Claim("§5.4, Fig. 11", "oscillatory neurons after 50k and 150k batches", ("50k", "150k"), claim_values.positions(claim_values.of_type("oscillatory")), _NONE),
    Claim("§5.4, Fig. 11", "oscillatory neurons after 300k batches", ("300k",), claim_values.positions(claim_values.of_type("oscillatory")), _each("some", "more than 0", lambda v: v > 0)),
    Claim("§6", "dead neurons of 350m", ("350m",), claim_values.dead, _each("0 %", "at most 0.1 %", lambda v: v <= 0.001), True),
)  # fmt: skip

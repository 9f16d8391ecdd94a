"""What token detectors write: which tokens they promote, and whether they suppress their triggers (paper §4.4).

In: a layer's token detectors, its second FFN matrix and the unembedding. Out: the detectors with what they
promote and suppress (`detectors_1.jsonl`), and `summary["suppression"]`, the numbers behind Figure 5 and the
paper's "over 80 %", beside the same numbers of random neurons and of random tokens (ours; see `controls`).
"""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.stats import controls, detectors, projections

# Of trials, a neuron with its tokens each: how many there are, and how many suppress their tokens in each sense.
COUNTS = ("number", "mean_negative", "all_negative", "among_lowest")
# To be among the lowest of fewer tokens than these says little.
LEAST_VOCABULARY = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How suppression is looked at.

    Attributes:
        top: promoted tokens, and as many suppressed ones, listed for a detector.
        lowest: a trigger among this many lowest projections counts as most suppressed.
        draws: how often the controls are drawn; seed: of the draws.
        strongest: detectors in the summary for Figure 5.
    """

    top: int = 10
    lowest: int = 50
    draws: int = 10
    seed: int = 0
    strongest: int = 8

    def __post_init__(self):
        for field in dataclasses.fields(self):
            least = 0 if field.name in ("draws", "seed") else 1
            if getattr(self, field.name) < least:
                raise errors.UsageError(
                    f"{field.name} is {getattr(self, field.name)}. Choose an integer from {least} on."
                )


class TokenDetector(detectors.Detector):
    """A line of `detectors_1.jsonl`; promoted from the highest projection, suppressed from the lowest."""

    promoted: list[projections.Projection]
    suppressed: list[projections.Projection]
    mean_projection: float


class LayerSuppression(NamedTuple):
    """What `layer_suppression` found.

    Attributes:
        layer: the layer's index in the model.
        strongest: as many of its detectors as Figure 5 may need.
        counts: for each group of trials int64[draws, 4], in the order of COUNTS.
        vocabulary: V, the tokens that are projected on.
    """

    layer: int
    strongest: list[TokenDetector]
    counts: dict[str, np.ndarray]
    vocabulary: int


def layer_suppression(
    found: detectors.LayerDetectors,
    kernel: np.ndarray,
    alive: np.ndarray,
    vocabulary: projections.Vocabulary,
    settings: Settings,
    keep: Callable[[TokenDetector], object],
) -> LayerSuppression:
    """Looks at what the layer's token detectors promote and suppress, and counts three groups of trials.

    `detectors` are the detectors with their triggers. `random_tokens` are the detectors with random
    tokens as frequent as their triggers. `random_neurons` are random alive neurons of the layer, no
    token detectors, with the same random tokens. The random numbers of a draw come from the seed, the
    layer and the draw's number, so they do not change with the layers analyzed.

    Args:
        found: the token detectors (n = 1) of the layer.
        kernel: float[F, D], the layer's fc2 kernel as it is stored.
        alive: bool[F].
        keep: is called with each detector in turn, since all of them may be too many to hold.

    Raises:
        StudyError: a trigger is no entry of the vocabulary.
        StoreError: a projection is not finite.
    """
    triggers = _trigger_tokens(found, vocabulary)
    drawn, others = [], []
    for draw in range(settings.draws):
        random = np.random.default_rng([settings.seed, found.layer, draw])
        drawn.append(controls.random_tokens(triggers, vocabulary.occurrences, random))
        others.append(controls.random_neurons(alive, found.neuron, random))
    of_detectors = np.zeros((1 + settings.draws, len(COUNTS)), np.int64)
    token_sets = [triggers, *drawn]

    def kept() -> Iterator[TokenDetector]:
        for each in _judged(
            found, kernel, vocabulary, settings, token_sets, of_detectors
        ):
            keep(each)
            yield each

    # Before the counts: it is what takes the detectors one by one.
    best = strongest(kept(), settings.strongest)
    counts = {
        "detectors": of_detectors[:1],
        "random_tokens": of_detectors[1:],
        "random_neurons": _judge_draws(others, drawn, kernel, vocabulary, settings),
    }
    return LayerSuppression(found.layer, best, counts, len(vocabulary.unembedding))


def _judged(
    found: detectors.LayerDetectors,
    kernel: np.ndarray,
    vocabulary: projections.Vocabulary,
    settings: Settings,
    token_sets: Sequence[Sequence[np.ndarray]],
    counts: np.ndarray,
) -> Iterator[TokenDetector]:
    """Completes each detector, and adds to `counts` a trial of it with its tokens in each of the sets."""
    records = detectors.make_records(found, vocabulary.piece)
    projected = projections.project(kernel, found.neuron, vocabulary)
    for record, values, *sets in zip(records, projected, *token_sets, strict=True):
        counts += [judge(values, tokens, settings.lowest) for tokens in sets]
        yield _complete(record, sets[0], values, vocabulary, settings.top)


def judge(values: np.ndarray, tokens: np.ndarray, lowest: int) -> np.ndarray:
    """One trial: 0 or 1 for each of COUNTS, int64[4]. values: float64[V], a neuron's projections; tokens: int[N].

    `among_lowest`: fewer than `lowest` tokens of the vocabulary lie below the lowest of `tokens`.
    Without tokens there is no trial: all are 0.
    """
    if not len(tokens):
        return np.zeros(len(COUNTS), np.int64)
    own = values[tokens]
    among_lowest = np.count_nonzero(values < own.min()) < lowest
    return np.array([1, own.mean() < 0, (own < 0).all(), among_lowest], np.int64)


def summarize(layers: Sequence[LayerSuppression], settings: Settings) -> dict[str, Any]:
    """The numbers behind Figure 5 and "over 80 %", as plain JSON: `summary["suppression"]`.

    Returns:
        `layers` has a row a layer: its index `layer`, and for each group of trials (see
        `layer_suppression`) its `number` and shares; `overall` the same over all layers, `draws`
        over all layers, of each draw. Shares of no trials are null. `strongest`: the detectors of
        Figure 5. `lowest_share`: what share of the `vocabulary` the `lowest` tokens are; with fewer
        than LEAST_VOCABULARY it is null, and so is every `among_lowest`.
    """
    vocabulary = layers[0].vocabulary
    is_large = vocabulary >= LEAST_VOCABULARY

    def shares(counted: np.ndarray) -> dict[str, Any]:
        found = _shares(counted)
        return found if is_large else found | {"among_lowest": None}

    counts = {
        group: np.stack([result.counts[group] for result in layers])
        for group in layers[0].counts
    }
    best = [detector for result in layers for detector in result.strongest]
    return {
        "settings": dataclasses.asdict(settings),
        "vocabulary": vocabulary,
        "lowest_share": settings.lowest / vocabulary if is_large else None,
        "layers": [
            {
                "layer": result.layer,
                **{group: shares(c.sum(axis=0)) for group, c in result.counts.items()},
            }
            for result in layers
        ],
        "overall": {group: shares(c.sum(axis=(0, 1))) for group, c in counts.items()},
        "draws": {
            group: [shares(row) for row in c.sum(axis=0)] for group, c in counts.items()
        },
        "strongest": strongest(best, settings.strongest),
    }


def strongest(found: Iterable[TokenDetector], number: int) -> list[TokenDetector]:
    """The detectors with most activations on their triggers, ties by layer and neuron; holds no more than these.

    The best attested ones, then: choosing by projection would choose what the table is to show.
    """

    def rank(detector: TokenDetector) -> tuple[int, int, int]:
        activations = sum(trigger["activations"] for trigger in detector["triggers"])
        return -activations, detector["layer"], detector["neuron"]

    return heapq.nsmallest(number, found, key=rank)


def _trigger_tokens(
    found: detectors.LayerDetectors, vocabulary: projections.Vocabulary
) -> list[np.ndarray]:
    """The ids of each detector's triggers, int[triggers]."""
    tokens = found.triggers.ngram[:, 0]
    known = len(vocabulary.unembedding)
    if unknown := np.flatnonzero(tokens >= known).tolist():
        raise errors.StudyError(
            f"layer {found.layer}, neuron {found.triggers.neuron[unknown[0]]}: trigger {tokens[unknown[0]]} is none"
            f" of the {known} tokens of the vocabulary"
        )
    ends = found.trigger_ends().tolist()
    return [tokens[slice(*pair)] for pair in itertools.pairwise([0, *ends])]


def _complete(
    detector: detectors.Detector,
    triggers: np.ndarray,
    values: np.ndarray,
    vocabulary: projections.Vocabulary,
    top: int,
) -> TokenDetector:
    """The record with what the detector writes. values: float64[V], its projections."""
    promoted = projections.lowest(-values, top)
    suppressed = projections.lowest(values, top)
    return TokenDetector(
        **detector,
        promoted=projections.named(promoted, values, vocabulary),
        suppressed=projections.named(suppressed, values, vocabulary),
        mean_projection=float(values[triggers].mean()),
    )


def _judge_draws(
    neurons: Sequence[np.ndarray],
    tokens: Sequence[Sequence[np.ndarray]],
    kernel: np.ndarray,
    vocabulary: projections.Vocabulary,
    settings: Settings,
) -> np.ndarray:
    """Counts of each draw's neurons with its tokens, int64[draws, 4]; all draws in the same blocks."""
    trials = (
        (draw, own)
        for draw in range(settings.draws)
        # Where there are fewer neurons than detectors, the last detectors' tokens have none.
        for _, own in zip(neurons[draw], tokens[draw], strict=False)
    )
    chosen = np.concatenate([np.zeros(0, np.int64), *neurons])
    counts = np.zeros((settings.draws, len(COUNTS)), np.int64)
    projected = projections.project(kernel, chosen, vocabulary)
    for (draw, own), values in zip(trials, projected, strict=True):
        counts[draw] += judge(values, own, settings.lowest)
    return counts


def _shares(counts: np.ndarray) -> dict[str, Any]:
    """counts: int64[4], in the order of COUNTS."""
    number, *parts = counts.tolist()
    shares = [part / number if number else None for part in parts]
    return dict(zip(COUNTS, [number, *shares], strict=True))

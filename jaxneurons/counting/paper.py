"""All that a study counts, the paper's statistics and examples, as reductions.

In: a model's configuration, the text and how it lies on the devices. Out: reductions to be chained.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from jaxneurons import terms
from jaxneurons.config import Config
from jaxneurons.counting import counts, examples, ngram_coverage
from jaxneurons.counting.reductions import Reduction
from jaxneurons.devices import Spread


class Kept(NamedTuple):
    """How much a study keeps of what it counts.

    Attributes:
        examples: examples of each kind for a neuron; 0 finds none.
        candidate_share, candidate_coverage: n-grams are kept of neurons whose coverage at this
            share is at most that.
    """

    examples: int = 16
    candidate_share: Fraction = terms.COVERAGE_SHARE
    candidate_coverage: int = terms.CANDIDATE_COVERAGE


# Where a study does not say.
KEPT = Kept()


def paper_counts(
    config: Config,
    tokens: np.ndarray,
    lengths: np.ndarray,
    full_windows: Sequence[int],
    spread: Spread,
    ngram_bytes: int | None = 2**28,
    whole: bool = True,
    kept: Kept = KEPT,
) -> list[Reduction]:
    """Activations by domain, by position too, n-grams and examples, in this order.

    Args:
        config: of the model.
        tokens: int32[W, T], the windows.
        lengths: int32[W], tokens of each window before its padding.
        full_windows: windows of T tokens in each domain of the study.
        spread: how the windows lie on the devices.
        ngram_bytes: of each device's memory, to count n-grams with; None counts none.
        whole: whether these are all windows of the study, so that mutual information can be
            computed.
        kept: examples and candidates to keep.
    """
    domains, length = len(full_windows), tokens.shape[1]
    windows = full_windows if whole else None
    parts = [
        counts.activation_counts(domains, config.ffn_dim),
        counts.position_counts(domains, length, config.ffn_dim, windows),
    ]
    if ngram_bytes is not None:
        parts.append(
            ngram_coverage.ngram_coverage(
                tokens,
                lengths,
                config.special_tokens,
                config.ffn_dim,
                spread=spread,
                candidate_share=kept.candidate_share,
                most_candidates=kept.candidate_coverage,
                memory_bytes=ngram_bytes,
            )
        )
    if kept.examples:
        parts.append(examples.examples(kept.examples, config.ffn_dim))
    return parts

"""Which neurons are specific to a domain of the text.

In: every neuron's entropy over domains and its frequency in each. Out: the domains that it is specific to, and
their summary. After LAPE (Tang et al., 2024), which looks for the neurons of a language.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxneurons import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Criteria:
    """What makes a neuron specific to a domain.

    Attributes:
        entropy_share: its entropy over domains is among this share of the lowest, of all alive neurons.
        frequency_share: its frequency in the domain is among this share of the highest there, likewise.
    """

    entropy_share: float = 0.01
    frequency_share: float = 0.05

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value <= 1:
                raise errors.UsageError(
                    f"{name} is {value}. Pass a number above 0 and at most 1."
                )


def specific(
    entropy: np.ndarray, frequency: np.ndarray, criteria: Criteria
) -> np.ndarray:
    """Which neurons are specific to which domain, bool[domain, N].

    Both shares are of the alive neurons of all layers, rounded up to a whole number of them; who ties with the last
    of these is among them.

    Args:
        entropy: float64[N], over domains; NaN for dead neurons and in a study of one domain.
        frequency: float64[domain, N].
        criteria: the thresholds.
    """
    known = ~np.isnan(entropy)
    if not known.any():
        return np.zeros(frequency.shape, bool)
    low = known & (entropy <= _limit(entropy[known], criteria.entropy_share))
    limits = [-_limit(-row[known], criteria.frequency_share) for row in frequency]
    # In a domain that hardly any neuron knows the limit is 0.
    return low & (frequency >= np.array(limits)[:, None]) & (frequency > 0)


def _limit(values: np.ndarray, share: float) -> float:
    """The largest of this share of the lowest values."""
    # Not one more for the float next to a whole number.
    number = max(1, math.ceil(round(share * len(values), 6)))
    return np.partition(values, number - 1)[number - 1]


def summarize(
    found: np.ndarray, layers: Sequence[int], names: Sequence[str], criteria: Criteria
) -> dict[str, Any] | None:
    """Section `domains` of `summary.json`; None where there is one domain.

    Args:
        found: bool[domain, layer, F], of the layers studied.
        layers: their indices in the model.
        names: of the domains.
        criteria: the thresholds.
    """
    if len(names) == 1:
        return None
    counts = np.count_nonzero(found, axis=2)
    return {
        "criteria": dataclasses.asdict(criteria),
        "specific": int(np.count_nonzero(found.any(axis=0))),
        "by_domain": dict(zip(names, counts.sum(axis=1).tolist(), strict=True)),
        "layers": [
            {"layer": layer, "by_domain": dict(zip(names, row, strict=True))}
            for layer, row in zip(layers, counts.T.tolist(), strict=True)
        ],
    }

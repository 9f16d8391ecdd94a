"""What marks the type and the strength of a positional neuron in every figure.

In: a type and a strength, as `stats/position_types.py` names them. Out: colour, mark and title.
"""

import itertools
from typing import Any

from matplotlib import colors

from jaxneurons import terms
from jaxneurons.figures import style

# The paper's purple, red, green and yellow, in colours and marks that the colour-blind tell apart.
TYPE_COLORS = {
    kind: style.PALETTE[place]
    for kind, place in zip(terms.POSITIONAL_TYPES, (3, 1, 2, 5), strict=True)
}
TYPE_MARKERS = dict(zip(terms.POSITIONAL_TYPES, "os^D", strict=True))
# A diamond of the same size stands on its corner, and would reach further.
MARK_SCALES = dict(zip(terms.POSITIONAL_TYPES, (1.0, 0.85, 1.0, 0.7), strict=True))
TYPE_TITLES = {
    "oscillatory": "oscillatory",
    "both": "both extremes",
    "one": "one extreme",
    "other": "other",
}
# In the order of the legend, and of a layer's stack from the bottom up.
KINDS = list(itertools.product(terms.POSITIONAL_TYPES, terms.STRENGTHS))
WEAK_TINT = 0.3


def face(kind: str, strength: str) -> Any:
    """Full colour where the pattern is strong, a tint where it is weak."""
    share = 1.0 if strength == "strong" else WEAK_TINT
    return _mix(TYPE_COLORS[kind], (1.0, 1.0, 1.0), share)


def edge(kind: str) -> Any:
    """The type's colour, darkened: it has to show on white."""
    return _mix(TYPE_COLORS[kind], (0.0, 0.0, 0.0), 0.6)


def _mix(color: str, other: tuple[float, float, float], share: float) -> Any:
    pairs = zip(colors.to_rgb(color), other, strict=True)
    return tuple(share * one + (1 - share) * two for one, two in pairs)

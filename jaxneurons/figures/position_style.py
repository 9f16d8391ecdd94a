"""What marks the type and the strength of a positional neuron in every figure.

In: a type and a strength, as `stats/position_types.py` names them. Out: colour, mark and title.
"""

import itertools
from typing import Any

from matplotlib import colors

from jaxneurons.figures import style

# The paper's purple, red, green and yellow, in colours and marks that the colour-blind tell apart.
TYPE_COLORS = {
    "oscillatory": style.PALETTE[3],
    "both": style.PALETTE[1],
    "one": style.PALETTE[2],
    "other": style.PALETTE[5],
}
TYPE_MARKERS = {"oscillatory": "o", "both": "s", "one": "^", "other": "D"}
# A diamond of the same size stands on its corner, and would reach further.
MARK_SCALES = {"oscillatory": 1.0, "both": 0.85, "one": 1.0, "other": 0.7}
TYPE_TITLES = {
    "oscillatory": "oscillatory",
    "both": "both extremes",
    "one": "one extreme",
    "other": "other",
}
STRENGTHS = ("strong", "weak")
# In the order of the legend, and of a layer's stack from the bottom up.
KINDS = list(itertools.product(TYPE_COLORS, STRENGTHS))
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

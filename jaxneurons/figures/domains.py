"""How many neurons of each layer are specific to each domain of the text.

In: section `domains` of the summaries of one or several studies. Out: a figure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps, figure

from jaxneurons.figures import style

Studies = Mapping[str, Mapping[str, Any]]
# Domains that the palette tells apart.
MOST_COLORS = len(style.PALETTE)


def has_specific(section: Mapping[str, Any]) -> bool:
    """Whether a neuron is specific to a domain."""
    return section["specific"] > 0


@style.settings()
def specific_neurons(studies: Studies) -> figure.Figure:
    """Stacked bars per layer, a colour per domain, which is the same in all panels."""
    canvas, panels = style.panels(list(studies))
    counts = [section["by_domain"].items() for section in studies.values()]
    names = [name for pairs in counts for name, number in pairs if number]
    domains = list(dict.fromkeys(names))
    colors = _colors(len(domains))
    handles = {}
    for panel, section in zip(panels, studies.values(), strict=True):
        layers = [row["layer"] for row in section["layers"]]
        bottom = np.zeros(len(layers))
        for domain, color in zip(domains, colors, strict=True):
            numbers = [row["by_domain"].get(domain, 0) for row in section["layers"]]
            heights = np.array(numbers, np.float64)
            handles[domain] = style.bars(panel, layers, heights, bottom, color)
            bottom += heights
        panel.set_xlabel("layer")
        style.count_axis(panel)
    style.label_left(panels, "domain-specific neurons")
    style.legend(canvas, list(handles.values()), domains)
    return style.lay_out(canvas)


def _colors(number: int) -> list[Any]:
    if number <= MOST_COLORS:
        return style.PALETTE[:number]
    return [*colormaps["turbo"](np.linspace(0, 1, number))]

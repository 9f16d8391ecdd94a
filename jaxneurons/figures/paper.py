"""Every figure of the paper from the summaries of one or several studies."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from jaxneurons.figures import activation


def all_figures(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """File name without suffix to figure, for studies by name."""
    activations = {name: summary["activation"] for name, summary in summaries.items()}
    return {
        "figure_1a_dead_neurons": activation.dead_neurons(activations),
        "figure_1b_activation_frequency": activation.activation_frequency(activations),
    }

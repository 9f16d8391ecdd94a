"""Figure 1 of the paper: dead neurons, and how often the others fire, by depth.

In: section `activation` of the summaries of one or several studies, and how their lines look.
Out: figures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from jaxneurons import terms
from jaxneurons.figures import depth, style

Studies = Mapping[str, Mapping[str, Any]]


def has_dead(section: Mapping[str, Any]) -> bool:
    """Whether there is a dead neuron to show."""
    return section["dead"] > 0


def has_alive(section: Mapping[str, Any]) -> bool:
    """Whether there is a neuron that fires."""
    return any(layer["mean_frequency_alive"] is not None for layer in section["layers"])


@style.settings()
def dead_neurons(studies: Studies, looks: depth.Looks) -> Figure:
    """Figure 1a: share of neurons that never fire, by relative depth; certified ones dotted."""
    canvas, grid = style.new_figure(width=4.8, height=3.0)
    panel = grid[0, 0]
    for name, section in studies.items():
        values = _percent(section, "dead_share")
        depth.plot(panel, section, values, **looks[name])
    handles, labels = list(panel.lines), _labels(studies)
    certified = {
        name: section for name, section in studies.items() if section["certified_dead"]
    }
    for name, section in certified.items():
        # Wide enough to be seen where it lies on the line of all dead neurons.
        look = {"color": looks[name]["color"], "linestyle": ":", "linewidth": 2.5}
        depth.plot(panel, section, _percent(section, "certified_dead_share"), **look)
    if certified:
        handles.append(depth.sample(":"))
        labels.append("dotted: certified dead")
    panel.set(ylim=(0, None), ylabel="dead neurons, %")
    style.legend(canvas, handles, labels)
    return style.lay_out(canvas)


@style.settings()
def activation_frequency(studies: Studies, looks: depth.Looks) -> Figure:
    """Figure 1b: mean activation frequency of the neurons that are not dead, by relative depth."""
    canvas, grid = style.new_figure(width=4.8, height=3.0)
    panel = grid[0, 0]
    for name, section in studies.items():
        values = _percent(section, "mean_frequency_alive")
        depth.plot(panel, section, values, **looks[name])
    label = "mean activation frequency\nof alive neurons, %"
    panel.set(ylim=(0, None), ylabel=label)
    style.legend(canvas, panel.lines, _labels(studies))
    return style.lay_out(canvas)


def _labels(studies: Studies) -> list[str]:
    """A name per line, which says so where neurons that are not active write all the same."""
    return [
        f"{name} (GELU)"
        if terms.about_inactive(section["activation_function"])
        else name
        for name, section in studies.items()
    ]


def _percent(section: Mapping[str, Any], key: str) -> Sequence[float]:
    """A share of each layer; NaN where it has none."""
    values = [layer[key] for layer in section["layers"]]
    return [float("nan") if value is None else 100 * value for value in values]

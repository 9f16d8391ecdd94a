"""Figures 7 and 9 of the paper: patterns of positional neurons, and the ranges they indicate.

In: section `positions` of the summaries of one or several studies. Out: figures.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib import axes, figure

from jaxneurons.figures import position_style, style

# More neurons than this are not named one by one.
NAMED_NEURONS = 48

Studies = Mapping[str, Mapping[str, Any]]


def position_patterns(studies: Studies) -> figure.Figure:
    """Figure 7: the neuron of most information of each type, strong above weak ones."""
    canvas, panels = style.new_figure(2 * len(studies), 4, width=2.5, height=2.1)
    rows = [
        (name, strength) for name in studies for strength in position_style.STRENGTHS
    ]
    for line, (name, strength) in zip(panels, rows, strict=True):
        positions = studies[name]
        found = {
            example["type"]: example
            for example in positions["examples"]
            if example["strength"] == strength
        }
        for panel, kind in zip(line, position_style.TYPE_COLORS, strict=True):
            title = f"{position_style.TYPE_TITLES[kind]}, {strength}"
            panel.set_title(title, fontsize=style.FONT_SIZE - 1)
            _draw_pattern(panel, found.get(kind), positions["positions"])
        label = "activation frequency"
        line[0].set_ylabel(f"{name}\n{label}" if len(studies) > 1 else label)
    return canvas


def position_ranges(studies: Studies) -> figure.Figure:
    """Figure 9: the ranges of the strong oscillatory neurons of the layer that has most."""
    chosen = {name: _ranges_layer(one) for name, one in studies.items()}
    most = max(len(layer["neurons"]) for layer in chosen.values())
    height = min(max(2.2, 1.2 + 0.17 * most), 9.0)
    canvas, panels = style.new_figure(1, len(studies), width=5.0, height=height)
    for panel, (name, layer) in zip(panels.flat, chosen.items(), strict=True):
        positions = studies[name]
        if not layer["neurons"]:
            panel.set_title(name, fontsize=style.FONT_SIZE)
            _write_instead(panel, "no strong oscillatory neurons")
            continue
        _draw_ranges(panel, layer)
        panel.set_xlim(0, positions["positions"])
        panel.set_xlabel("position")
        panel.set_ylabel(f"neuron of layer {positions['ranges_layer']}")
        hatched = " (hatched)" if layer["redundant"] else ""
        panel.set_title(
            f"{name}\n{len(layer['neurons'])} neurons cover "
            f"{100 * layer['covered_share']:.1f} % of positions, "
            f"{len(layer['redundant'])} redundant{hatched}",
            fontsize=style.FONT_SIZE - 1,
        )
    return canvas


def _draw_pattern(
    panel: axes.Axes, example: Mapping[str, Any] | None, positions: int
) -> None:
    if example is None:
        _write_instead(panel, "none found")
        return
    kind, frequency = example["type"], example["frequency"]
    fill = position_style.face(kind, example["strength"])
    panel.fill_between(range(positions), frequency, color=fill, linewidth=0)
    panel.plot(
        range(positions), frequency, color=position_style.edge(kind), linewidth=0.7
    )
    panel.set_title(
        f"{panel.get_title()}\nlayer {example['layer']}, neuron {example['neuron']}: "
        f"{example['mutual_information']:.2f} nats",
        fontsize=style.FONT_SIZE - 1,
    )
    panel.set_xlabel("position")
    panel.set_ylim(0, 1.03)
    panel.set_xlim(0, positions)


def _ranges_layer(positions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The strong oscillatory neurons of the layer that has most, of any layer if none has."""
    chosen = [
        layer
        for layer in positions["layers"]
        if positions["ranges_layer"] in (None, layer["layer"])
    ]
    return chosen[0]["strong_oscillatory"]


def _draw_ranges(panel: axes.Axes, layer: Mapping[str, Any]) -> None:
    """A row of bars a neuron, the one that starts first on top, and below them the union."""
    rows = [*layer["neurons"], "all of them"]
    for row, (neuron, ranges) in enumerate(
        zip(rows, [*layer["ranges"], layer["union"]], strict=True)
    ):
        redundant = neuron in layer["redundant"]
        panel.broken_barh(
            [(first, last + 1 - first) for first, last in ranges],
            (row - 0.4, 0.8),
            facecolor=_bar_color(neuron, redundant),
            edgecolor=position_style.edge("oscillatory") if redundant else "none",
            hatch="////" if redundant else None,
        )
    named = range(len(rows)) if len(rows) <= NAMED_NEURONS else [len(rows) - 1]
    panel.set_yticks(
        list(named), [str(rows[row]) for row in named], fontsize=style.FONT_SIZE - 2
    )
    panel.set_ylim(len(rows) - 0.3, -0.7)
    panel.grid(False)


def _bar_color(neuron: int | str, redundant: bool) -> Any:
    if neuron == "all of them":
        return "0.2"
    return position_style.face("oscillatory", "weak" if redundant else "strong")


def _write_instead(panel: axes.Axes, text: str) -> None:
    """Says in grey why a panel has nothing to show, and takes its scales away."""
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    position_style.write(panel, text)

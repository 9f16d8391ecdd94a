"""Figures 7 and 9 of the paper: patterns of positional neurons, and the ranges they indicate.

In: section `positions` of the summaries of one or several studies. Out: figures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes, figure

from jaxneurons.figures import glyphs, position_style, style

# More neurons than this are not named one by one.
NAMED_NEURONS = 40
UNION = "all of them"
# A neuron's bars, where 1 would touch the next neuron's; their union at least, as a share of all rows.
ROW = 0.8
UNION_SHARE = 0.02

Section = Mapping[str, Any]
Studies = Mapping[str, Section]


def has_positional(section: Section) -> bool:
    """Whether there is a positional neuron to show."""
    return section["positional"] > 0


def has_ranges(section: Section) -> bool:
    """Whether there is a strong oscillatory neuron to show."""
    return section["ranges_layer"] is not None


@style.settings()
def position_patterns(studies: Studies) -> figure.Figure:
    """Figure 7: the neuron of most information of each type and strength, a row per study.

    Each study has some, as `has_positional` says.
    """
    examples = {
        name: {(one["type"], one["strength"]): one for one in section["examples"]}
        for name, section in studies.items()
    }
    kinds = [
        kind
        for kind in position_style.KINDS
        if any(kind in found for found in examples.values())
    ]
    width = min(2.6, max(1.4, style.PAGE / len(kinds)))
    canvas, grid = style.new_figure(len(studies), len(kinds), width, height=1.8)
    for row, (name, section) in zip(grid, studies.items(), strict=True):
        for panel, kind in zip(row, kinds, strict=True):
            _draw_pattern(panel, examples[name].get(kind), section["positions"])
        label = "activation\nfrequency"
        if len(studies) > 1:
            label = f"{glyphs.shortened(name, 1.6)}\n{label}"
        row[0].set_ylabel(label)
        row[0].set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    for panel, (type_, strength) in zip(grid[0], kinds, strict=True):
        panel.set_title(f"{position_style.TYPE_TITLES[type_]},\n{strength}")
    for panel in grid[-1]:
        panel.set_xlabel("position")
    # Where there are several, the rows name them.
    of = "".join(f" of {glyphs.shortened(name, 4)}" for name in studies)
    style.note(
        canvas,
        f"Of each type and strength, the neuron{of if len(studies) == 1 else ''} with the most mutual information "
        "is shown.",
    )
    return style.lay_out(canvas)


def _draw_pattern(panel: axes.Axes, example: Section | None, positions: int) -> None:
    """The pattern as an area, and above it whose it is."""
    panel.set(xlim=(0, positions), ylim=(0, 1.5))
    panel.set_yticks([0, 0.5, 1], ["", "", ""])
    first, last = panel.set_xticks([0, positions], ["0", str(positions)])
    # Labels end with the panel, where those of the next one begin.
    first.label1.set_horizontalalignment("left")
    last.label1.set_horizontalalignment("right")
    words = "none"
    if example:
        kind, frequency = example["type"], example["frequency"]
        fill = position_style.face(kind, example["strength"])
        line = position_style.edge(kind)
        panel.fill_between(range(positions), frequency, color=fill, linewidth=0)
        panel.plot(range(positions), frequency, color=line, linewidth=0.7)
        words = f"L={example['layer']}, n={example['neuron']}\n"
        words += f"{example['mutual_information']:.2f} nats"
    color = "black" if example else style.GREY
    panel.annotate(
        words,
        (0.03, 0.98),
        xycoords="axes fraction",
        va="top",
        fontsize=glyphs.SMALL,
        color=color,
    )


@style.settings()
def position_ranges(studies: Studies) -> figure.Figure:
    """Figure 9: the ranges of the strong oscillatory neurons of the layer that has most.

    Each study has some, as `has_ranges` says.
    """
    chosen = {name: _layer_of_ranges(section) for name, section in studies.items()}
    most = max(len(layer["neurons"]) for layer in chosen.values())
    height = min(max(2.4, 1.4 + 0.17 * most), 9.0)
    canvas, panels = style.panels(list(studies), 4.8 if most < 2 else 4.0, height)
    for panel, (name, layer) in zip(panels, chosen.items(), strict=True):
        _draw_ranges(panel, layer)
        section = studies[name]
        panel.set(xlim=(0, section["positions"]), xlabel="position")
        panel.set_ylabel(f"neuron of layer {section['ranges_layer']}")
        panel.set_title(f"{panel.get_title()}\n{_coverage(layer)}")
    return style.lay_out(canvas)


def _layer_of_ranges(section: Section) -> Section:
    """The strong oscillatory neurons of the layer that has most."""
    (layer,) = (
        layer["strong_oscillatory"]
        for layer in section["layers"]
        if layer["layer"] == section["ranges_layer"]
    )
    return layer


def _coverage(layer: Section) -> str:
    neurons, redundant = len(layer["neurons"]), len(layer["redundant"])
    share = f"{100 * layer['covered_share']:.1f} % of positions"
    covers = f"{neurons} neurons cover {share}" if neurons > 1 else f"covers {share}"
    if neurons < 2:
        return covers
    if not redundant:
        return f"{covers}\nnone is redundant"
    return f"{covers}\n{redundant} redundant, each alone (pale)"


def _draw_ranges(panel: axes.Axes, layer: Section) -> None:
    """A row of bars per neuron, the one that starts first on top, and below them the union."""
    neurons = layer["neurons"]
    for row, (neuron, ranges) in enumerate(zip(neurons, layer["ranges"], strict=True)):
        strength = "weak" if neuron in layer["redundant"] else "strong"
        color = position_style.face("oscillatory", strength)
        _draw_bars(panel, ranges, row - ROW / 2, ROW, color)
    # Under hundreds of neurons a row as high as theirs would not be seen.
    high = max(ROW, UNION_SHARE * len(neurons))
    first = len(neurons) - 1 + ROW / 2 + high / 4
    _draw_bars(panel, layer["union"], first, high, "0.2")
    named = neurons if len(neurons) <= NAMED_NEURONS else []
    ticks = [*range(len(named)), first + high / 2]
    panel.set_yticks(ticks, [*map(str, named), UNION])
    panel.set_ylim(first + high + 0.3, -0.7)
    panel.grid(False)


def _draw_bars(
    panel: axes.Axes,
    ranges: Sequence[tuple[int, int]],
    first: float,
    height: float,
    color: Any,
) -> None:
    """A bar per range of positions, its upper edge at `first`."""
    bars = [(start, last + 1 - start) for start, last in ranges]
    panel.broken_barh(bars, (first, height), facecolor=color)

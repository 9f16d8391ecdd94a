"""What a training run's checkpoints hold: dead neurons, how often the others fire, detectors and positional neurons.

In: the summaries of studies of checkpoints, whose section `model` has the step. Out: a figure.
"""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib import figure

from jaxneurons.figures import coverage, depth, style

Summaries = Mapping[str, Mapping[str, Any]]

DETECTOR_LINES = {"1": "-", "2": "--", "3": ":"}


@style.settings()
def findings(studies: Summaries) -> figure.Figure:
    """Four panels over training steps, a line per run.

    Studies are of one run if the name before their step is the same: "run, step 100".
    """
    canvas, grid = style.new_figure(rows=2, columns=2, width=4.6, height=2.7)
    dead, frequency, detectors, positional = grid.flat
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for name, summary in studies.items():
        runs.setdefault(name.rpartition(", step ")[0], []).append(summary)
    handles = []
    for index, summaries in enumerate(runs.values()):
        look = {
            "color": style.PALETTE[index % len(style.PALETTE)],
            "marker": depth.MARKERS[index % len(depth.MARKERS)],
            "markersize": 4,
            # Whole marks at the panels' edges.
            "clip_on": False,
        }
        handles += _draw(dead, summaries, _dead_percent, **look)
        _draw(frequency, summaries, _frequency_percent, **look)
        for n, linestyle in DETECTOR_LINES.items():
            _draw(detectors, summaries, _detectors(n), linestyle=linestyle, **look)
        _draw(positional, summaries, _positional, **look)
    dead.set(ylim=(0, None), ylabel="dead neurons, %")
    label = "mean activation frequency\nof alive neurons, %"
    frequency.set(ylim=(0, None), ylabel=label)
    for panel, label in ((detectors, "detectors"), (positional, "positional neurons")):
        panel.set_ylabel(label)
        style.count_axis(panel)
    for panel in grid.flat:
        panel.set_xlabel("training step")
        panel.xaxis.set_major_locator(style.whole_numbers())
    handles += map(depth.sample, DETECTOR_LINES.values())
    terms = [f"{coverage.TERMS[int(n)]} detectors" for n in DETECTOR_LINES]
    style.legend(canvas, handles, [*runs, *terms])
    return style.lay_out(canvas)


def _draw(
    panel: Any,
    summaries: list[Mapping[str, Any]],
    value: Callable[[Mapping[str, Any]], float],
    **look: Any,
) -> list[Any]:
    points = sorted((each["model"]["step"], value(each)) for each in summaries)
    return panel.plot([x for x, _ in points], [y for _, y in points], **look)


def _dead_percent(summary: Mapping[str, Any]) -> float:
    layers = summary["activation"]["layers"]
    return 100 * summary["activation"]["dead"] / sum(row["neurons"] for row in layers)


def _frequency_percent(summary: Mapping[str, Any]) -> float:
    """The mean over all alive neurons of all layers; NaN where all are dead."""
    rows = [
        (row["neurons"] - row["dead"], row["mean_frequency_alive"])
        for row in summary["activation"]["layers"]
        if row["mean_frequency_alive"] is not None
    ]
    alive = sum(number for number, _ in rows)
    total = sum(number * frequency for number, frequency in rows)
    return 100 * total / alive if alive else float("nan")


def _detectors(n: str) -> Callable[[Mapping[str, Any]], float]:
    """Their number; NaN where n-grams were not counted."""

    def number(summary: Mapping[str, Any]) -> float:
        if summary["ngrams"] is None:
            return float("nan")
        return sum(row["detectors"] for row in summary["ngrams"][n]["layers"])

    return number


def _positional(summary: Mapping[str, Any]) -> float:
    return summary["positions"]["positional"]

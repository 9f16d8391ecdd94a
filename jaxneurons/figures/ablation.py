"""What a model loses without some neurons, beside what it loses without as many others.

In: the content of ablation.json. Out: a figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, figure, lines, ticker

from jaxneurons.figures import glyphs, style

Section = Mapping[str, Any]

SET, CONTROL = style.PALETTE[1], style.GREY
MEASURES = {"logit": "higher logit", "rank": "better rank", "cosine": "larger cosine"}
# Positions that one point of a line is the mean of, at most so many points.
POINTS = 128
# Intervals between ticks of changes, at most.
TICKS = 4


@style.settings()
def losses(found: Section) -> figure.Figure:
    """Change of the loss by domain; of what is predicted after triggers, and by position, where these were measured."""
    panels = [_by_domain]
    panels += [_by_trigger] if found["triggers"].get("detectors") else []
    panels += [_by_position] if found["positions"] else []
    height = max(2.7, 0.9 + 0.26 * len(found["base"]))
    canvas, grid = style.new_figure(1, len(panels), 4.6, height)
    for panel, draw in zip(grid[0], panels, strict=True):
        draw(panel, found)
    handles = [
        lines.Line2D([], [], linestyle="", marker="o", color=SET),
        lines.Line2D([], [], linestyle="", marker="|", color=CONTROL, markersize=8),
    ]
    labels = [
        f"neurons: {found['neurons']:,}, mode {found['mode']}, {found['dtype']}",
        "controls: others of the same layers",
    ]
    style.legend(
        canvas,
        handles[: 1 + bool(found["controls"])],
        labels[: 1 + bool(found["controls"])],
    )
    return style.lay_out(canvas)


def _by_domain(panel: axes.Axes, found: Section) -> None:
    names = [*found["base"]]
    rows = np.arange(len(names))
    panel.axvline(0, color=CONTROL, linewidth=0.8)
    for control in found["controls"]:
        _marks(panel, _risen(names, control, found["base"]), rows, CONTROL, "|")
    _marks(panel, _risen(names, found["ablated"], found["base"]), rows, SET, "o")
    panel.set_yticks(rows, [glyphs.shortened(name, 1.4) for name in names])
    panel.set(ylim=(len(names) - 0.4, -0.6), xlabel="rise of the loss, nats per token")
    # Small changes have long numbers.
    panel.xaxis.set_major_locator(ticker.MaxNLocator(TICKS))
    panel.grid(axis="y", visible=False)


def _risen(names: Sequence[str], losses: Section, base: Section) -> list[float]:
    return [losses[name] - base[name] for name in names]


def _marks(panel: axes.Axes, x: Any, y: Any, color: str, marker: str) -> None:
    size = 6 if marker == "o" else 9
    panel.plot(x, y, linestyle="", marker=marker, color=color, markersize=size)


def _by_trigger(panel: axes.Axes, found: Section) -> None:
    rows = np.arange(len(MEASURES))
    effects = found["triggers"]
    for control in effects["controls"]:
        shares = [100 * control["expected_share"][name] for name in MEASURES]
        _marks(panel, shares, rows, CONTROL, "|")
    shares = [100 * effects["ablated"]["expected_share"][name] for name in MEASURES]
    _marks(panel, shares, rows, SET, "o")
    panel.set_yticks(rows, [*MEASURES.values()])
    panel.set(xlim=(-4, 104), ylim=(len(MEASURES) - 0.4, -0.6))
    panel.set_xlabel(
        f"% of {effects['detectors']:,} token detectors whose triggers get it"
    )
    panel.grid(axis="y", visible=False)


def _by_position(panel: axes.Axes, found: Section) -> None:
    positions = found["positions"]
    base = _array(positions["base"])
    width = -(-len(base) // POINTS)
    panel.axhline(0, color=CONTROL, linewidth=0.8)
    for control in positions["controls"]:
        panel.plot(
            *_averaged(_array(control) - base, width), color="0.7", linewidth=0.8
        )
    risen = _array(positions["ablated"]) - base
    panel.plot(*_averaged(risen, width), color=SET, linewidth=1.4)
    panel.set(xlabel="position", ylabel="rise of the loss, nats per token")


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def _averaged(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and means over so many neighbours each; NaN where one is unknown."""
    starts = np.arange(0, len(values), width)
    parts = [values[start : start + width] for start in starts]
    places = [
        start + (len(part) - 1) / 2 for start, part in zip(starts, parts, strict=True)
    ]
    return np.array(places), np.array([part.mean() for part in parts])

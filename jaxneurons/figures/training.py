"""Loss curves of training runs.

In: per run the lines of its loss.jsonl and the losses of its baselines. Out: a figure.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib import axes, figure, lines

from jaxneurons.figures import depth, glyphs, style

Runs = Mapping[str, Mapping[str, Any]]


@style.settings()
def loss_curves(runs: Runs) -> figure.Figure:
    """Loss by step: thin lines for batches, marked ones for held-out text, dotted for baselines."""
    canvas, panels = style.new_figure(width=5.4, height=3.2)
    panel = panels[0, 0]
    held_out = []
    for index, run in enumerate(runs.values()):
        color = style.PALETTE[index % len(style.PALETTE)]
        marker = depth.MARKERS[index % len(depth.MARKERS)]
        _draw(panel, run["losses"], "loss", color=color, linewidth=0.6, alpha=0.5)
        held_out.append(
            _draw(panel, run["losses"], "validation_loss", color=color, marker=marker)
        )
    thin = lines.Line2D([], [], color=style.GREY, linewidth=0.6)
    labels = [f"{name}, held out" for name in runs] if len(runs) > 1 else ["held out"]
    # Runs to be compared have the same text, so the first one's baselines are all's.
    _draw_baselines(panel, next(iter(runs.values()))["baselines"])
    panel.set(xlabel="step", ylabel="cross-entropy (nats per token)")
    style.legend(canvas, [*held_out, thin], [*labels, "thin: training batches"])
    return style.lay_out(canvas)


def _draw(panel: axes.Axes, losses: Any, key: str, **look: Any) -> lines.Line2D:
    points = [(line["step"], line[key]) for line in losses if key in line]
    steps, values = [x for x, _ in points], [y for _, y in points]
    (line,) = panel.plot(steps, values, markersize=3, **look)
    return line


def _draw_baselines(panel: axes.Axes, baselines: Mapping[str, float]) -> None:
    for name, loss in baselines.items():
        panel.axhline(loss, color="0.35", linestyle=":", linewidth=0.9)
        panel.annotate(
            f"{name} {loss:.2f}",
            (1, loss),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            horizontalalignment="right",
            fontsize=glyphs.SMALL - 1,
            # A curve that passes under the words must not hide them.
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
            zorder=3,
        )

"""Loss curves of training runs.

In: per run the lines of its loss.jsonl and the losses of its baselines. Out: a figure.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib import axes, figure

from jaxneurons.figures import style

Runs = Mapping[str, Mapping[str, Any]]


def loss_curves(runs: Runs) -> figure.Figure:
    """Loss by step: thin lines for batches, marked ones for held-out text, dotted for n-gram models."""
    canvas, panels = style.new_figure(width=5.4, height=3.4)
    panel = panels[0, 0]
    for index, (name, run) in enumerate(runs.items()):
        look = style.line_style(index)
        _draw(
            panel, run["losses"], "loss", linewidth=0.6, alpha=0.5, color=look["color"]
        )
        label = f"{name}, held out" if len(runs) > 1 else "held out"
        _draw(
            panel, run["losses"], "validation_loss", label=label, markersize=3, **look
        )
    # Runs to be compared have the same text, so the first one's baselines are all's.
    _draw_baselines(panel, next(iter(runs.values()))["baselines"])
    panel.set_xlabel("step")
    panel.set_ylabel("cross-entropy (nats per token)")
    style.legend_below(canvas, panel)
    return canvas


def _draw(panel: axes.Axes, lines: Any, key: str, **look: Any) -> None:
    points = [(line["step"], line[key]) for line in lines if key in line]
    panel.plot([x for x, _ in points], [y for _, y in points], **look)


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
            fontsize=style.FONT_SIZE - 2,
        )

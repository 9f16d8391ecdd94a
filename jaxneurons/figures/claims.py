"""The paper's claims beside our values, as a figure: a row per claim, a column per model, a colour per verdict."""

from collections.abc import Mapping, Sequence

from matplotlib import figure

from jaxneurons.figures import style

# By verdict; the letter is for whoever sees no colours.
COLOURS = {
    "agrees": ("#009E73", "✓"),
    "differs": ("#D55E00", "✗"),
    "not studied": (style.GREY, "–"),
}
# Inches: a model's column, and what stands left of them all.
_COLUMN = 0.85
_LEFT = 7.4


@style.settings()
def plot(
    rows: Sequence[tuple[str, str, Mapping[str, str], str]], models: Sequence[str]
) -> figure.Figure:
    """Draws the table.

    Args:
        rows: of each claim its text, the paper's value, our values by model as they are shown, and the verdict.
        models: all that there may be; only those with a value have a column.
    """
    shown = [
        model for model in models if any(model in values for _, _, values, _ in rows)
    ]
    width = _LEFT + _COLUMN * len(shown)
    canvas, [[panel]] = style.new_figure(1, 1, width, 0.7 + 0.22 * len(rows))
    panel.set_axis_off()
    panel.set_xlim(-_LEFT / _COLUMN, len(shown))
    panel.set_ylim(len(rows) + 0.5, -1.6)
    panel.text(-1.35, -1.2, "paper", ha="center", weight="bold", fontsize=8)
    for column, model in enumerate(shown):
        panel.text(column + 0.5, -1.2, model, ha="center", weight="bold", fontsize=8)
    for place, (text, paper, values, verdict) in enumerate(rows):
        colour, mark = COLOURS[verdict]
        panel.text(-0.35, place, mark, ha="center", color=colour, weight="bold")
        panel.text(-1.35, place, paper, ha="center", color=colour, fontsize=7)
        panel.text(-2.2, place, text, ha="right", color=colour, fontsize=7)
        for column, model in enumerate(shown):
            if model in values:
                panel.text(
                    column + 0.5,
                    place,
                    values[model],
                    ha="center",
                    fontsize=7,
                    color=colour,
                )
    signs = [f"{mark} {verdict}" for verdict, (_, mark) in COLOURS.items()]
    style.note(canvas, ", ".join(signs))
    return style.lay_out(canvas)

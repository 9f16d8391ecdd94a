"""Every figure of the paper for which there is something to show.

In: the summaries of one or several studies. Out: figures and tables by file name; the words to them
are in `captions`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from jaxneurons.figures import depth, suppression
from jaxneurons.figures.plots import PLOTS, Plot, Section

Summaries = Mapping[str, Mapping[str, Any]]


def sections(plot: Plot, summaries: Summaries) -> dict[str, Section]:
    """What each study has of a figure's numbers, by study; only of those that looked."""
    found: dict[str, Any] = dict(summaries)
    for key in plot.section:
        found = {
            name: section[key]
            for name, section in found.items()
            # A summary written before studies looked has no such section.
            if section.get(key) is not None
        }
    return found


def shown(plot: Plot, summaries: Summaries) -> dict[str, Section]:
    """The sections that a figure is drawn from; none if there is nothing to see."""
    looked = sections(plot, summaries)
    having = {name: section for name, section in looked.items() if plot.has(section)}
    return looked if plot.lines and having else having


def draw(summaries: Summaries, plots: Sequence[Plot] = PLOTS) -> dict[str, Figure]:
    """Each figure that has something to show, by file name without suffix, for studies by name."""
    looks = depth.looks({name: one["model"] for name, one in summaries.items()})
    figures = {}
    for plot in plots:
        if studies := shown(plot, summaries):
            more = [looks] if plot.lines else []
            figures[plot.file_name] = plot.draw(studies, *more)
    return figures


def tables(summaries: Summaries, plots: Sequence[Plot] = PLOTS) -> dict[str, str]:
    """The figures that are tables, as Markdown by file name without suffix."""
    return {
        plot.file_name: suppression.as_markdown(studies)
        for plot in plots
        if plot.section == ("suppression",) and (studies := shown(plot, summaries))
    }

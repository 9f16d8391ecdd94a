"""What stands under the figures: how to read each, what was studied, and by which thresholds.

In: the summaries of one or several studies, and the figures asked for. Out: Markdown, and notes of
a line each on what is not drawn and on studies that were not made alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxneurons import terms
from jaxneurons.figures import markdown, paper
from jaxneurons.figures.paper import Summaries
from jaxneurons.figures.plots import PLOTS, Plot

# Why a study has no such section in its summary.
NOT_LOOKED = {
    "ngrams": "n-grams were not counted",
    "suppression": "what detectors promote and suppress was not looked at",
    "domains": "the text is one domain, or was not looked at by domain",
}


def write(summaries: Summaries, plots: Sequence[Plot] = PLOTS) -> str:
    """A caption for each figure drawn, after the notes."""
    drawn = [plot for plot in plots if paper.shown(plot, summaries)]
    lines = notes(summaries, plots)
    parts = ["# Captions", *map(markdown.escaped, lines)]
    for plot in drawn:
        parts += _caption(plot, summaries)
    return "\n\n".join(parts) + "\n"


def notes(summaries: Summaries, plots: Sequence[Plot] = PLOTS) -> list[str]:
    """What a reader has to know first: how studies differ, and what is not drawn and why."""
    lines = _differences(summaries), _inactive(summaries), _undrawn(summaries, plots)
    return [line for line in lines if line]


def _caption(plot: Plot, summaries: Summaries) -> list[str]:
    shown = {name: summaries[name] for name in paper.shown(plot, summaries)}
    studied = {name: _studied(plot, summary) for name, summary in shown.items()}
    if len(studied) == 1:
        # Nothing else says of which model one study is.
        [(name, facts)] = studied.items()
        studied = {name: f"{markdown.escaped(name)}: {facts}"}
    by = {name: _listed(plot.thresholds(one)) for name, one in shown.items()}
    lacking: dict[str, list[str]] = {}
    for name in (name for name in summaries if name not in shown):
        why = _reason(plot, {name: summaries[name]})
        lacking.setdefault(why, []).append(markdown.escaped(name))
    return [
        f"## Figure {plot.number}: {plot.title}",
        f"`{plot.file_name}`. {plot.reading}",
        f"Studied: {_grouped(studied)}.",
        f"Thresholds: {_grouped(by)}.",
        *([f"Left out: {_because(lacking)}."] if lacking else []),
    ]


def _studied(plot: Plot, summary: Mapping[str, Any]) -> str:
    """Tokens, window and type of a study; the number of full windows where only those count."""
    activation, positions = summary["activation"], summary["positions"]
    domains = ", ".join(
        f"{markdown.escaped(name)} {tokens:,}"
        for name, tokens in activation["tokens_by_domain"].items()
    )
    facts = f"{activation['tokens']:,} tokens ({domains}) in windows of {positions['positions']:,}"
    if plot.section == ("positions",):
        facts += f", of which {positions['full_windows']:,} are full and counted here"
    # A summary written before studies told has none.
    dtype = summary.get("study", {}).get("dtype")
    return f"{facts}, computed in {dtype}" if dtype else facts


def _listed(thresholds: Mapping[str, Any]) -> str:
    listed = ", ".join(f"`{name}` {value:g}" for name, value in thresholds.items())
    return listed or "none"


def _grouped(said: Mapping[str, str]) -> str:
    """What is said of each study, once where it is the same."""
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(
        f"{_joined(markdown.escaped(name) for name, own in said.items() if own == words)}: {words}"
        for words in dict.fromkeys(said.values())
    )


def _differences(summaries: Summaries) -> str:
    """A warning about studies of different thresholds, windows or types to compute in."""
    settings = {name: _settings(summary) for name, summary in summaries.items()}
    names = dict.fromkeys(key for found in settings.values() for key in found)
    differing = []
    for key in names:
        values = {name: found[key] for name, found in settings.items() if key in found}
        if len(set(values.values())) > 1:
            each = ", ".join(f"{name}: {value}" for name, value in values.items())
            differing.append(f"{key} ({each})")
    if not differing:
        return ""
    found = f"The studies differ in {_joined(differing)}"
    return f"{found}; what differs in their figures may come from that."


def _inactive(summaries: Summaries) -> str:
    """What "active" and "dead" mean where neurons are not ReLU, and of which models none is certified."""
    said: dict[str, list[str]] = {}
    for name, summary in summaries.items():
        section = summary["activation"]
        about = [terms.about_inactive(section["activation_function"])]
        about += [terms.NOT_CERTIFIABLE] * (section["certified_dead"] is None)
        said.setdefault(" ".join(filter(None, about)), []).append(name)
    return " ".join(
        f"{_joined(names)}: {about}" for about, names in said.items() if about
    )


def _settings(summary: Mapping[str, Any]) -> dict[str, Any]:
    """All by which a study found what it found, but the text."""
    ngrams, suppression = summary["ngrams"], summary["suppression"]
    domains = summary.get("domains")
    return {
        "window": summary["positions"]["positions"],
        **{k: v for k, v in summary.get("study", {}).items() if k == "dtype"},
        **(ngrams["1"]["criteria"] if ngrams else {}),
        **(suppression["settings"] if suppression else {}),
        **summary["positions"]["criteria"],
        **(domains["criteria"] if domains else {}),
    }


def _undrawn(summaries: Summaries, plots: Sequence[Plot]) -> str:
    """Which figures have nothing to show, and why."""
    reasons: dict[str, list[str]] = {}
    for plot in plots:
        if not paper.shown(plot, summaries):
            reasons.setdefault(_reason(plot, summaries), []).append(plot.number)
    return f"Figures not drawn: {_because(reasons)}." if reasons else ""


def _because(reasons: Mapping[str, Sequence[str]]) -> str:
    """What has nothing to show, by the reason."""
    return "; ".join(f"{_joined(what)} ({why})" for why, what in reasons.items())


def _reason(plot: Plot, summaries: Summaries) -> str:
    """Why these studies have nothing to show in a figure."""
    if paper.sections(plot, summaries):
        return plot.lacks
    section = plot.section[0]
    if section == "suppression" and all(
        summary["ngrams"] is None for summary in summaries.values()
    ):
        section = "ngrams"
    return NOT_LOOKED[section]


def _joined(words: Iterable[str]) -> str:
    """As a list in a sentence."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last

"""An opened study in, a number that the paper gives too out; None where the study does not say.

`claims` says which is which. All but the neurons of Figure 5 come from the study's summary.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from jaxneurons.counting import statistics
from jaxneurons.studies.results import Results


@functools.lru_cache(maxsize=64)
def _summary(study: Results) -> dict[str, Any]:
    return study.summary


def _layers(study: Results, section: str, n: int | None = None) -> list[dict[str, Any]]:
    """The rows of a section, one per layer; none where it was not studied."""
    found = _summary(study)[section]
    if found and n is not None:
        found = found[str(n)]
    return found["layers"] if found else []


def _half(
    study: Results, rows: list[dict[str, Any]], first: bool
) -> list[dict[str, Any]]:
    middle = study.model.config.num_hidden_layers / 2
    return [row for row in rows if (row["layer"] < middle) == first]


def dead(study: Results) -> float:
    rows = _layers(study, "activation")
    return sum(row["dead"] for row in rows) / sum(row["neurons"] for row in rows)


def dead_late(study: Results) -> float:
    rows = _half(study, _layers(study, "activation"), first=False)
    return sum(row["dead"] for row in rows) / sum(row["neurons"] for row in rows)


def most_dead(study: Results) -> float:
    return max(row["dead_share"] for row in _layers(study, "activation"))


def frequency(study: Results) -> float | None:
    found = [row["mean_frequency_alive"] for row in _layers(study, "activation")]
    alive = [value for value in found if value is not None]
    return sum(alive) / len(alive) if alive else None


def tokens(study: Results) -> float:
    return sum(domain.tokens for domain in study.corpus)


def covered_by_few(n: int) -> Callable[[Results], float | None]:
    """Share of alive neurons in the first half that few n-grams cover, as few as a detector may have."""

    def value(study: Results) -> float | None:
        rows = _half(study, _layers(study, "ngrams", n), first=True)
        alive = sum(row["alive"] for row in rows)
        # The classes are 0, 1 to 5, 6 to 50, and larger.
        last = 2 if n == 1 else 3
        few = sum(sum(row["coverage_counts"][1:last]) for row in rows)
        return few / alive if alive else None

    return value


def total(key: str, n: int) -> Callable[[Results], float | None]:
    def value(study: Results) -> float | None:
        rows = _layers(study, "ngrams", n)
        return sum(row[key] for row in rows) if rows else None

    return value


def covered(n: int) -> Callable[[Results], float | None]:
    def value(study: Results) -> float | None:
        rows = _layers(study, "ngrams", n)
        return rows[-1]["cumulative"] if rows else None

    return value


def new_share(n: int) -> Callable[[Results], float | None]:
    """Of the n-grams that layers above the first detecting one cover, the share that no layer below does."""

    def value(study: Results) -> float | None:
        rows = [row for row in _layers(study, "ngrams", n) if row["ngrams"]][1:]
        total = sum(row["ngrams"] for row in rows)
        return sum(row["new_overall"] for row in rows) / total if total else None

    return value


def most_tokens(study: Results) -> float | None:
    return max((row["ngrams"] for row in _layers(study, "ngrams", 1)), default=None)


def first_layer(study: Results) -> float | None:
    """Token detectors of the first layer, as a share of those of the layer with most."""
    found = [row["detectors"] for row in _layers(study, "ngrams", 1)]
    return found[0] / max(found) if found and max(found) else None


def suppressing(study: Results) -> float | None:
    section = _summary(study)["suppression"]
    return section["overall"]["detectors"]["mean_negative"] if section else None


def positions(
    read: Callable[[dict[str, Any]], float | None],
) -> Callable[[Results], float | None]:
    """What `read` finds in the section of positions, where there are windows enough for one."""

    def value(study: Results) -> float | None:
        section = _summary(study)["positions"]
        return (
            None
            if section["full_windows"] < statistics.FEWEST_WINDOWS
            else read(section)
        )

    return value


def of_type(
    kind: str, strengths: tuple[str, ...] = ("strong", "weak")
) -> Callable[[dict[str, Any]], int]:
    return lambda section: sum(section["counts"][kind][one] for one in strengths)


def share_of_type(kind: str) -> Callable[[dict[str, Any]], float | None]:
    def read(section: dict[str, Any]) -> float | None:
        return (
            of_type(kind)(section) / section["positional"]
            if section["positional"]
            else None
        )

    return read


def lead(section: dict[str, Any]) -> float | None:
    """By how many neurons oscillatory ones outnumber the next type; below 0 where another is ahead."""
    counts = {kind: of_type(kind)(section) for kind in section["counts"]}
    oscillatory = counts.pop("oscillatory")
    return oscillatory - max(counts.values()) if section["positional"] else None


def second_layer(
    read: Callable[[dict[str, Any]], float],
) -> Callable[[dict[str, Any]], float]:
    return lambda section: read(section["layers"][1]["strong_oscillatory"])


def strong_count(section: dict[str, Any]) -> int:
    return sum(counts["strong"] for counts in section["counts"].values())


# The neurons of Figure 5, and a word that each detects.
_FIGURE_5 = {
    (1, 13416): "title",
    (5, 34220): "weather",
    (10, 35511): "him",
    (10, 23921): "school",
}


def figure_5(study: Results) -> float | None:
    """How many of the neurons of Figure 5 detect their word, their layers counted from 0 or from 1."""
    if not study.settings.ngrams:
        return None
    found = study.detectors(1)
    words: dict[tuple[int, int], str] = {}
    for row in found.itertuples():
        words[row.layer, row.neuron] = " ".join(one["text"] for one in row.triggers)
    return max(
        sum(
            bool(re.search(word, words.get((layer - first, neuron), ""), re.IGNORECASE))
            for (layer, neuron), word in _FIGURE_5.items()
        )
        for first in (0, 1)
    )

"""A study's numbers and findings as pandas tables.

In: a finished study. Out: one row per neuron, per n-gram detector, or per positional neuron; what
the columns are, `results.Results` says.
"""

import numpy as np
import pandas

from jaxneurons import errors
from jaxneurons.studies import summary, vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.terms import ORDERS

PLACE = ["layer", "neuron"]
NEURON = [
    *PLACE,
    "activations",
    "frequency",
    "dead",
    "certified_dead",
    "certified_active",
    *(f"coverage_{n}" for n in ORDERS),
    *(f"detector_{n}" for n in ORDERS),
    "mean_trigger_projection",
    "mutual_information",
    "positional_type",
    "positional_strength",
    "domain_entropy",
    "specific",
]
# Of a list in a terminal.
LISTED = [
    *PLACE,
    "frequency",
    "dead",
    *(f"detector_{n}" for n in ORDERS),
    "triggers",
    "mutual_information",
    "positional_type",
    "domain_entropy",
]
# Of tables without rows.
DETECTOR = [*PLACE, "coverage", "triggers"]
OF_TOKEN = ["activations", "occurrences", "mean_projection"]
POSITIONAL = [*PLACE, "mutual_information", "frequency", "type", "strength"]


def neurons(
    study: Study, layer: int | None = None, sort: str | None = None
) -> pandas.DataFrame:
    """One row per neuron of every layer asked for, or of one; raises as `Results.neurons`."""
    if layer is not None:
        study.require_layer(layer)
    layers = study.asked_layers if layer is None else (layer,)
    table = pandas.concat([of_layer(study, i) for i in layers], ignore_index=True)
    of_domains = [
        f"{kind}_{domain.name}"
        for kind in ("frequency", "specific")
        for domain in study.identity.corpus
    ]
    table = table[[*NEURON, *of_domains]]
    return table if sort is None else _sorted(table, sort)


def detectors(study: Study, n: int) -> pandas.DataFrame:
    """One row per n-gram detector, as in `detectors_{n}.jsonl`; raises as `Results.detectors`."""
    if not study.identity.settings.ngrams:
        raise errors.UsageError(
            f"{study.path} counted no n-grams. Run a study that does to find detectors."
        )
    return _findings(study, summary.detectors_name(n), DETECTOR)


def detectors_of(
    study: Study, token: str, layer: int | None = None, sort: str | None = None
) -> pandas.DataFrame:
    """One row per token detector that a token triggers; raises as `Results.detectors_of`."""
    if layer is not None:
        study.require_layer(layer)
    wanted = vocabulary.find(study, token)
    table = detectors(study, 1)
    rows = [
        {
            **{name: getattr(row, name) for name in (*PLACE, "coverage")},
            "triggers": len(row.triggers),
            "activations": trigger["activations"],
            "occurrences": trigger["occurrences"],
            "mean_projection": getattr(row, "mean_projection", np.nan),
        }
        for row in table.itertuples()
        for trigger in row.triggers
        if trigger["ids"][0] in wanted and layer in (None, row.layer)
    ]
    found = pandas.DataFrame(rows, columns=[*DETECTOR, *OF_TOKEN])
    return found if sort is None else _sorted(found, sort)


def positional(study: Study) -> pandas.DataFrame:
    """One row per positional neuron, as in `positional.jsonl`."""
    return _findings(study, summary.POSITIONAL, POSITIONAL)


def of_layer(study: Study, layer: int) -> pandas.DataFrame:
    """The rows of one layer."""
    domains = study.identity.corpus
    count = study.read_layer("activation_count", layer)
    specific = study.read_layer("specific", layer)
    activations = count.sum(axis=0)
    columns = {
        "neuron": np.arange(len(activations)),
        "activations": activations,
        "frequency": activations / sum(domain.tokens for domain in domains),
        "dead": activations == 0,
        "certified_dead": study.read_layer("max_preactivation", layer) <= 0,
        "certified_active": study.read_layer("min_preactivation", layer) > 0,
        "mutual_information": study.read_layer("mutual_information", layer)[-1],
        "mean_trigger_projection": study.read_layer("mean_trigger_projection", layer),
        "domain_entropy": study.read_layer("domain_entropy", layer),
        "specific": specific.sum(axis=0),
    }
    for name in ("positional_type", "positional_strength"):
        columns[name] = _flags(study, name, layer)
    for name, array in (("coverage", "ngram_coverage"), ("detector", "detector")):
        for n, row in zip(ORDERS, study.read_layer(array, layer), strict=True):
            columns[f"{name}_{n}"] = row
    for domain, row, own in zip(domains, count, specific, strict=True):
        columns[f"frequency_{domain.name}"] = row / domain.tokens
        columns[f"specific_{domain.name}"] = own > 0
    return pandas.DataFrame(columns).assign(layer=layer)


def _flags(study: Study, name: str, layer: int) -> pandas.Categorical:
    """What the values of an array of flags stand for."""
    meanings = study.array(name).entry.spec.flag_meanings
    return pandas.Categorical.from_codes(study.read_layer(name, layer), meanings)


def _findings(study: Study, name: str, columns: list[str]) -> pandas.DataFrame:
    """The records of a .jsonl file; without any, a table of `columns`."""
    records = list(summary.read_lines(study.path, name))
    table = pandas.DataFrame(records, columns=None if records else columns)
    return table.astype(dict.fromkeys(PLACE, np.int64))


def _sorted(table: pandas.DataFrame, sort: str) -> pandas.DataFrame:
    column = sort.removeprefix("-")
    if column not in table.columns:
        raise errors.UsageError(
            f"{column!r} is no column to sort by. Choose one of {', '.join(table.columns)}."
        )
    # The rows of equal values stay in order.
    return table.sort_values(
        column, ascending=column == sort, kind="stable", ignore_index=True
    )


def to_text(table: pandas.DataFrame, number: int, sort: str | None = None) -> str:
    """The first rows of a table in lines: of columns that say what a neuron is, and that it is sorted by."""
    shown = [*LISTED, *OF_TOKEN, (sort or "").removeprefix("-")]
    columns = [name for name in table.columns if name in shown]
    text = (
        table[columns]
        .head(number)
        .to_string(index=False, na_rep="-", float_format="{:.4g}".format)
    )
    more = len(table) - number
    return f"{text}\nand {more:,} more" if more > 0 else text

"""A study's numbers and findings as pandas tables.

In: a finished study. Out: one row per neuron, per n-gram detector, or per positional neuron; what
the columns are, `results.Results` says.
"""

import numpy as np
import pandas

from jaxneurons.studies import summary
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
]
# Of tables without rows.
DETECTOR = [*PLACE, "coverage", "triggers"]
POSITIONAL = [*PLACE, "mutual_information", "frequency", "type", "strength"]


def neurons(study: Study) -> pandas.DataFrame:
    """One row per neuron of every layer asked for."""
    counted = [_counted(study, layer) for layer in study.asked_layers]
    table = pandas.concat(counted, ignore_index=True)
    places = pandas.MultiIndex.from_frame(table[PLACE])
    found = _detected(study, places) | _positioned(study, places)
    of_domains = [f"frequency_{domain.name}" for domain in study.identity.corpus]
    return table.assign(**found)[[*NEURON, *of_domains]]


def detectors(study: Study, n: int) -> pandas.DataFrame:
    """One row per n-gram detector, as in `detectors_{n}.jsonl`."""
    return _findings(study, summary.detectors_name(n), DETECTOR)


def positional(study: Study) -> pandas.DataFrame:
    """One row per positional neuron, as in `positional.jsonl`."""
    return _findings(study, summary.POSITIONAL, POSITIONAL)


def _counted(study: Study, layer: int) -> pandas.DataFrame:
    """What a layer's arrays say of each of its neurons."""
    domains = study.identity.corpus
    count = study.read_layer("activation_count", layer)
    activations = count.sum(axis=0)
    coverage = study.read_layer("ngram_coverage", layer)
    columns = {
        "neuron": np.arange(len(activations)),
        "activations": activations,
        "frequency": activations / sum(domain.tokens for domain in domains),
        "dead": activations == 0,
        "certified_dead": study.read_layer("max_preactivation", layer) <= 0,
        "certified_active": study.read_layer("min_preactivation", layer) > 0,
        "mutual_information": study.read_layer("mutual_information", layer)[-1],
    }
    for n, row in zip(ORDERS, coverage, strict=True):
        columns[f"coverage_{n}"] = row
    for domain, row in zip(domains, count, strict=True):
        columns[f"frequency_{domain.name}"] = row / domain.tokens
    return pandas.DataFrame(columns).assign(layer=layer)


def _detected(study: Study, places: pandas.MultiIndex) -> dict[str, np.ndarray]:
    """The number of triggers of every neuron, and their mean projection where it is known."""
    projection = np.full(len(places), np.nan)
    if not study.identity.settings.ngrams:
        unknown = np.full(len(places), -1)
        return {f"detector_{n}": unknown for n in ORDERS} | {
            "mean_trigger_projection": projection
        }
    found = {n: detectors(study, n).set_index(PLACE) for n in ORDERS}
    columns = {
        f"detector_{n}": table["triggers"].map(len).reindex(places, fill_value=0)
        for n, table in found.items()
    }
    if "mean_projection" in found[1]:
        projection = found[1]["mean_projection"].reindex(places)
    columns["mean_trigger_projection"] = projection
    return {name: np.asarray(column) for name, column in columns.items()}


def _positioned(
    study: Study, places: pandas.MultiIndex
) -> dict[str, pandas.Categorical]:
    """Type and strength of the pattern of every neuron; "none" of those that are not positional."""
    found = positional(study).set_index(PLACE)
    return {
        f"positional_{name}": pandas.Categorical(
            found[name].reindex(places, fill_value="none")
        )
        for name in ("type", "strength")
    }


def _findings(study: Study, name: str, columns: list[str]) -> pandas.DataFrame:
    """The records of a .jsonl file; without any, a table of `columns`."""
    records = summary.read_lines(study.path, name)
    table = pandas.DataFrame(records, columns=None if records else columns)
    return table.astype(dict.fromkeys(PLACE, np.int64))

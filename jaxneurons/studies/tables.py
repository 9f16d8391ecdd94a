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
    "domain_entropy",
]
# Of tables without rows.
DETECTOR = [*PLACE, "coverage", "triggers"]
POSITIONAL = [*PLACE, "mutual_information", "frequency", "type", "strength"]


def neurons(study: Study) -> pandas.DataFrame:
    """One row per neuron of every layer asked for."""
    layers = [of_layer(study, layer) for layer in study.asked_layers]
    table = pandas.concat(layers, ignore_index=True)
    of_domains = [f"frequency_{domain.name}" for domain in study.identity.corpus]
    return table[[*NEURON, *of_domains]]


def detectors(study: Study, n: int) -> pandas.DataFrame:
    """One row per n-gram detector, as in `detectors_{n}.jsonl`."""
    return _findings(study, summary.detectors_name(n), DETECTOR)


def positional(study: Study) -> pandas.DataFrame:
    """One row per positional neuron, as in `positional.jsonl`."""
    return _findings(study, summary.POSITIONAL, POSITIONAL)


def of_layer(study: Study, layer: int) -> pandas.DataFrame:
    """The rows of one layer."""
    domains = study.identity.corpus
    count = study.read_layer("activation_count", layer)
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
    }
    for name in ("positional_type", "positional_strength"):
        columns[name] = _flags(study, name, layer)
    for name, array in (("coverage", "ngram_coverage"), ("detector", "detector")):
        for n, row in zip(ORDERS, study.read_layer(array, layer), strict=True):
            columns[f"{name}_{n}"] = row
    for domain, row in zip(domains, count, strict=True):
        columns[f"frequency_{domain.name}"] = row / domain.tokens
    return pandas.DataFrame(columns).assign(layer=layer)


def _flags(study: Study, name: str, layer: int) -> pandas.Categorical:
    """What the values of an array of flags stand for."""
    meanings = study.array(name).entry.spec.flag_meanings
    return pandas.Categorical.from_codes(study.read_layer(name, layer), meanings)


def _findings(study: Study, name: str, columns: list[str]) -> pandas.DataFrame:
    """The records of a .jsonl file; without any, a table of `columns`."""
    records = summary.read_lines(study.path, name)
    table = pandas.DataFrame(records, columns=None if records else columns)
    return table.astype(dict.fromkeys(PLACE, np.int64))

"""Reads one neuron of a study: a study, a layer and an index in, a `Neuron` out."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxneurons import errors
from jaxneurons.studies import summary, tables, vocabulary
from jaxneurons.studies.directory import Study
from jaxneurons.studies.neuron import Example, Neuron, Projection, Trigger
from jaxneurons.terms import ORDERS

# Tokens of context on either side of an example's peak.
CONTEXT = 12


def read(study: Study, layer: int, index: int) -> Neuron:
    """Reads what a study holds of a neuron.

    Raises:
        UsageError: the model has no such neuron, or the study holds nothing of its layer.
        StudyError: an array or a table is missing or damaged.
    """
    study.require_layer(layer)
    model = study.identity.model
    if not 0 <= index < model.config.ffn_dim:
        raise errors.UsageError(
            f"Layer {layer} of {model.name} has no neuron {index}. Its neurons are 0 to {model.config.ffn_dim - 1}."
        )
    domains = study.identity.corpus
    row = tables.of_layer(study, layer).iloc[index].to_dict()
    bounds = [
        float(study.read_layer(f"{end}_preactivation", layer)[index])
        for end in ("min", "max")
    ]
    count = study.read_layer("position_count", layer)[:, :, index].astype(np.int64)
    windows = np.array([domain.full_windows for domain in domains])
    with np.errstate(invalid="ignore"):
        by_domain = count / windows[:, None]
        pooled = count.sum(axis=0) / windows.sum()
    read_text = vocabulary.reader(study)
    names = [domain.name for domain in domains]
    return Neuron(
        model=model.name,
        layer=layer,
        index=index,
        row=row,
        tokens=sum(domain.tokens for domain in domains),
        activation_function=model.config.activation_function,
        can_certify=model.config.can_certify,
        bounds=(bounds[0], bounds[1]),
        triggers=tuple(_triggers(study, row, read_text)),
        promoted=_projections(study, "promoted", layer, index, read_text),
        suppressed=_projections(study, "suppressed", layer, index, read_text),
        position_frequency=pooled,
        position_frequency_by_domain=dict(zip(names, by_domain, strict=True)),
        examples=_examples(study, "example", layer, index, read_text),
        random_examples=_examples(study, "random_example", layer, index, read_text),
    )


def _triggers(
    study: Study, row: Mapping[str, Any], read_text: vocabulary.Reader
) -> Iterator[Trigger]:
    """Of each order of n-grams that the neuron is a detector of."""
    place = row["layer"], row["neuron"]
    for order, n in enumerate(ORDERS):
        if row[f"detector_{n}"] <= 0:
            continue
        total = study.read_layer("ngram_activation_count", place[0])[order, place[1]]
        for record in summary.read_lines(study.path, summary.detectors_name(n)):
            if (record["layer"], record["neuron"]) == place:
                for trigger in record["triggers"]:
                    yield Trigger(
                        tuple(trigger["ids"]),
                        read_text(trigger["ids"]),
                        trigger["activations"],
                        trigger["occurrences"],
                        trigger["activations"] / int(total),
                    )


def _projections(
    study: Study, end: str, layer: int, index: int, read_text: vocabulary.Reader
) -> tuple[Projection, ...] | None:
    if f"{end}_token" not in study.facts.arrays:
        return None
    tokens = study.read_layer(f"{end}_token", layer)[index]
    values = study.read_layer(f"{end}_projection", layer)[index]
    return tuple(
        Projection(token, read_text([token]), value)
        for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
        if token >= 0
    )


def _examples(
    study: Study, kind: str, layer: int, index: int, read_text: vocabulary.Reader
) -> tuple[Example, ...] | None:
    if not study.identity.settings.examples:
        return None
    columns = [
        study.read_layer(f"{kind}_{column}", layer)[index].tolist()
        for column in ("value", "window", "position")
    ]
    tokens, lengths = study.read("tokens"), study.read("window_length")
    names = [domain.name for domain in study.identity.corpus]
    domains = study.read("window_domain")
    found = []
    for value, window, place in zip(*columns, strict=True):
        if window < 0:
            break
        text = tokens[window, : lengths[window]].tolist()
        parts = (
            text[max(0, place - CONTEXT) : place],
            text[place : place + 1],
            text[place + 1 : place + 1 + CONTEXT],
        )
        domain = names[domains[window]]
        texts = map(read_text, parts)
        found.append(Example(value, domain, window, place, text[place], *texts))
    return tuple(found)

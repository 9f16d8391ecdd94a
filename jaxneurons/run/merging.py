"""One study of several, each of which has counted a part of the same text: finished parts in, a finished study out.

Counts are added up and the best examples chosen, layer by layer, so that the study is that of all windows at once,
bit for bit. What neither follows from, the coverage by n-grams, no part has.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxneurons import errors
from jaxneurons.analysis import analyze
from jaxneurons.counting import examples
from jaxneurons.run import beginning, layer_end, texts
from jaxneurons.run.models import Model
from jaxneurons.studies import facts, opening
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Domain, DoneLayer, Identity
from jaxneurons.text.windows import Windows

_COUNTS = ("activation_count", "special_activation_count", "position_count")
_SUMMED = ("windows", "full_windows", "tokens")


def merge(
    parts: Sequence[Study],
    model: Model,
    path: pathlib.Path,
    suppression: bool = True,
    figures: bool = True,
) -> None:
    """Makes one study of all parts of a text.

    Args:
        parts: finished studies of `study(..., part=...)`, in any order.
        model: that was studied.
        path: of the new study, which must not exist or be empty.
        suppression: whether to find which tokens each neuron promotes and suppresses.
        figures: whether the paper's figures are drawn.

    Raises:
        UsageError: a study counted n-grams or is no part, or a part is missing or there twice.
        MismatchError: parts differ in more than their windows, or the model is another one.
        StudyError: a part is damaged.
        OutputExistsError: the path is taken.
    """
    parts = _in_order(parts)
    identity = _identity(parts)
    windows = _windows(parts, identity)
    for part in parts:
        opening.require_model(part, model.store.fingerprint, model.store.location)
    with opening.creating(path, identity) as study:
        beginning.fill(study, windows, model.store.read_tokenizer())
        for entry in parts[0].facts.done:
            if entry.layer in study.asked_layers:
                _merge_layer(study, parts, entry.layer, windows)
            study.finish_layer(_entry(parts, entry.layer), [])
        study.finish_pass(len(windows.tokens))
        store = model.store if suppression else None
        analyze.analyze(study, store, analyze.Thresholds(), study, figures)
        study.finish()


def _in_order(parts: Sequence[Study]) -> list[Study]:
    """The parts from the first to the last."""
    by_place: dict[str, Study] = {}
    for study in parts:
        settings = study.identity.settings
        if settings.ngrams:
            raise errors.UsageError(
                f"{study.path} has counted n-grams, and a neuron's coverage of the whole text does not follow from "
                "that of parts. Study the parts without n-grams."
            )
        if settings.part is None:
            raise errors.UsageError(
                f"{study.path} is a study of all its windows. Pass parts."
            )
        if settings.part in by_place:
            raise errors.UsageError(
                f"{study.path} and {by_place[settings.part].path} are both part {settings.part}. Pass each part once."
            )
        by_place[settings.part] = study
    number = next(iter(by_place)).partition("/")[2]
    places = [f"{index + 1}/{number}" for index in range(int(number))]
    if by_place.keys() != set(places):
        raise errors.UsageError(
            f"the parts are {', '.join(by_place)}, which are not all of {number}. Pass each of them."
        )
    return [by_place[place] for place in places]


def _identity(parts: Sequence[Study]) -> Identity:
    """What a study of all windows at once would have."""
    domains: dict[str, Domain] = {}
    identities = [_without_part(part.identity) for part in parts]
    first = identities[0]
    for part, identity in zip(parts, identities, strict=True):
        alike = dataclasses.replace(identity, corpus=())
        found = facts.differences(dataclasses.replace(first, corpus=()), alike)
        for domain in identity.corpus:
            known = domains.setdefault(domain.name, domain)
            if known.fingerprint != domain.fingerprint:
                found.append(f"the text of {domain.name} is another one")
            if known is not domain:
                sums = {
                    name: getattr(known, name) + getattr(domain, name)
                    for name in _SUMMED
                }
                domains[domain.name] = dataclasses.replace(known, **sums)
        if found:
            raise errors.MismatchError(
                f"{part.path} cannot be merged with {parts[0].path}, because it differs in more than its windows: "
                + "; ".join(found)
            )
    corpus = tuple(
        dataclasses.replace(domain, index=index)
        for index, domain in enumerate(domains.values())
    )
    return dataclasses.replace(first, corpus=corpus)


def _without_part(identity: Identity) -> Identity:
    settings = dataclasses.replace(identity.settings, part=None)
    return dataclasses.replace(identity, settings=settings)


def _windows(parts: Sequence[Study], identity: Identity) -> Windows:
    """The windows of all parts, which are those of the text in order."""
    names = [domain.name for domain in identity.corpus]
    read = [texts.studied_text(part) for part in parts]
    domains = [
        np.array([names.index(name) for name in text.names], np.int32)[text.domains]
        for text in read
    ]
    return Windows(
        tokens=np.concatenate([text.tokens for text in read]),
        lengths=np.concatenate([text.lengths for text in read]),
        domains=np.concatenate(domains),
        names=tuple(names),
        fingerprints=tuple(domain.fingerprint for domain in identity.corpus),
    )


def _merge_layer(
    study: Study, parts: Sequence[Study], layer: int, windows: Windows
) -> None:
    sums: dict[str, np.ndarray] = {}
    offset = 0
    for part in parts:
        found = examples.moved(_read(part, layer, windows.names), offset)
        sums = layer_end.add_passes(sums, found) if sums else found
        offset += sum(domain.windows for domain in part.identity.corpus)
    names = ("min_preactivation", "max_preactivation")
    low, high = (parts[0].read_layer(name, layer) for name in names)
    layer_end.write_layer(study, layer, sums, (low, high), windows.full_windows())


def _read(part: Study, layer: int, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What a part has counted in a layer, with rows for all domains; the part's own domains are some of them."""
    rows = [names.index(domain.name) for domain in part.identity.corpus]
    found = {}
    for name in _COUNTS:
        counted = part.read_layer(name, layer).astype(np.int64)
        found[name] = np.zeros((len(names), *counted.shape[1:]), np.int64)
        found[name][rows] = counted
    shown = [name for name in part.facts.arrays if "example_" in name]
    return found | {name: part.read_layer(name, layer) for name in shown}


def _entry(parts: Sequence[Study], layer: int) -> DoneLayer:
    """What the study says of a layer: the time that it took on all machines."""
    entries = [
        entry for part in parts for entry in part.facts.done if entry.layer == layer
    ]
    return dataclasses.replace(
        entries[0],
        seconds=round(sum(entry.seconds for entry in entries), 3),
        wait_seconds=round(sum(entry.wait_seconds for entry in entries), 3),
    )

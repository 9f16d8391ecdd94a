"""The neurons that a person names: a finding of a study, or a file; a list of their places out."""

import csv
import io
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxneurons import errors, terms
from jaxneurons.ablation import neuron_sets
from jaxneurons.ablation.neuron_sets import NeuronSet
from jaxneurons.disk import files, strict_json
from jaxneurons.studies import tables
from jaxneurons.studies.directory import Study

FINDINGS = (
    "dead",
    "certified_dead",
    *(f"detectors_{n}" for n in terms.ORDERS),
    "positional",
    *(f"positional:{kind}" for kind in terms.POSITIONAL_TYPES),
)
DOMAIN = "domain:"
PLACE = ("layer", "neuron")


class Named(NamedTuple):
    """A set, and whether a neuron of it is positional."""

    neurons: NeuronSet
    positional: bool


def find(study: Study, name: str, layers: tuple[int, int] | None = None) -> Named:
    """The neurons of a set.

    Args:
        study: finished.
        name: one of `FINDINGS`, "domain:" and the name of a domain, or the path of a .csv, .json or
            .jsonl file of layer and neuron.
        layers: first and last, to leave out neurons of others; None is all.

    Raises:
        UsageError: there is no such set, or no neuron in it.
        BadDataError: the file does not list neurons, or lists one twice or one that the model has not.
        InputOutputError: the operating system refuses.
    """
    config = study.identity.model.config
    _check_layers(study, layers)
    path = pathlib.Path(name)
    if name in FINDINGS or name.startswith(DOMAIN):
        pairs = _of_study(study, name)
    elif path.is_file():
        try:
            pairs = neuron_sets.check(config, read_file(path)).tolist()
        except errors.UsageError as error:
            raise errors.BadDataError(f"{path}: {error}") from error
    else:
        raise errors.UsageError(
            f"{name!r} is no set of neurons and no file. Choose {', '.join(FINDINGS)}, {DOMAIN}NAME, or a .csv, .json "
            "or .jsonl file of layer and neuron."
        )
    first, last = layers or (0, config.num_hidden_layers - 1)
    pairs = [pair for pair in pairs if first <= pair[0] <= last]
    if not pairs:
        if not set(range(first, last + 1)) & set(study.asked_layers):
            study.require_layer(first)
        where = "" if layers is None else f" in layers {first} to {last}"
        raise errors.UsageError(
            f"the set {name} of {study.path} has no neuron{where}{_why_empty(study, name)}. Choose another set."
        )
    return Named(
        NeuronSet(neuron_sets.check(config, pairs), _triggers(study, pairs)),
        _any_positional(study, pairs),
    )


def _check_layers(study: Study, layers: tuple[int, int] | None) -> None:
    if layers is None:
        return
    last = study.identity.model.config.num_hidden_layers - 1
    if not 0 <= layers[0] <= layers[1] <= last:
        raise errors.UsageError(
            f"layers {layers[0]}:{layers[1]} are none of {study.identity.model.name}. Choose FIRST:LAST with "
            f"0 <= FIRST <= LAST <= {last}."
        )


def _of_study(study: Study, name: str) -> list[list[int]]:
    """The places of a finding."""
    kind, _, which = name.partition(":")
    if kind.startswith("detectors"):
        found = tables.detectors(study, int(kind[-1]))
        return found[[*PLACE]].to_numpy().tolist()
    table = tables.neurons(study)
    if kind == "domain":
        domains = [domain.name for domain in study.identity.corpus]
        if which not in domains:
            raise errors.UsageError(
                f"{study.path} has no domain {which!r}. Its domains are {', '.join(domains)}."
            )
        chosen = table[f"specific_{which}"]
    elif kind == "positional":
        types = table["positional_type"]
        chosen = types == which if which else types != "none"
    else:
        chosen = table[kind]
    return table.loc[chosen, [*PLACE]].to_numpy().tolist()


def _why_empty(study: Study, name: str) -> str:
    """What explains that a finding has no neuron, where more than the text does."""
    if name == "certified_dead" and not study.identity.model.config.can_certify:
        return ": without any bias no neuron can be certified"
    if name.startswith(DOMAIN) and len(study.identity.corpus) == 1:
        return ": the study has one domain"
    return ""


def _triggers(study: Study, pairs: list[list[int]]) -> dict[tuple[int, int], list[int]]:
    """The triggers of those that are token detectors."""
    if not study.identity.settings.ngrams:
        return {}
    chosen = set(map(tuple, pairs))
    return {
        (row.layer, row.neuron): [trigger["ids"][0] for trigger in row.triggers]
        for row in tables.detectors(study, terms.ORDERS[0]).itertuples()
        if (row.layer, row.neuron) in chosen
    }


def _any_positional(study: Study, pairs: list[list[int]]) -> bool:
    found = tables.positional(study)[[*PLACE]].to_numpy().tolist()
    return not set(map(tuple, found)).isdisjoint(map(tuple, pairs))


def read_file(path: pathlib.Path) -> list[list[int]]:
    """Layer and neuron of each line or entry of a file, as they stand there.

    A .csv file begins with the header `layer,neuron`, further columns aside. A .json file is a list of pairs or of
    objects that have `layer` and `neuron`, and so is each line of a .jsonl file.

    Raises:
        BadDataError: it is nothing of this.
        InputOutputError: the operating system refuses.
    """
    with files.translated("read", path):
        content = files.read_file(path)
    if path.suffix == ".csv":
        return list(_of_csv(content, path))
    if path.suffix == ".jsonl":
        entries = [
            strict_json.parse(line, str(path), errors.BadDataError)
            for line in content.splitlines()
            if line.strip()
        ]
    elif path.suffix == ".json":
        entries = strict_json.parse(content, str(path), errors.BadDataError)
    else:
        raise errors.BadDataError(
            f"{path} is neither a .csv nor a .json or .jsonl file. Rename it by what it holds."
        )
    if not isinstance(entries, list):
        raise errors.BadDataError(
            f"{path} is {strict_json.kind(entries)}. Write a list of pairs, such as [[0, 12], [3, 7]]."
        )
    return [_of_entry(entry, path) for entry in entries]


def _of_csv(content: bytes, path: pathlib.Path) -> Iterator[list[int]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.BadDataError(
            f"{path} is not UTF-8 at byte {error.start}. Write it as text in UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not all(header.count(name) == 1 for name in PLACE):
            raise errors.BadDataError(
                f"{path} does not begin with the header layer,neuron. Write it as the first line."
            )
        columns = [header.index(name) for name in PLACE]
        for row in reader:
            cells = [row[column].strip() for column in columns if column < len(row)]
            if not row:
                continue
            if len(row) != len(header) or not all(map(_is_index, cells)):
                raise errors.BadDataError(
                    f"{path}, line {reader.line_num}: {','.join(row)[:80]!r} is no layer and neuron. Write two "
                    "integers from 0."
                )
            yield [int(cell) for cell in cells]
    except csv.Error as error:
        raise errors.BadDataError(
            f"{path}, line {reader.line_num}: {error}. Write layer,neuron on each line."
        ) from error


def _is_index(cell: str) -> bool:
    return cell.isascii() and cell.isdecimal() and len(cell) < 10


def _of_entry(entry: Any, path: pathlib.Path) -> list[int]:
    values = [entry.get(name) for name in PLACE] if isinstance(entry, dict) else entry
    if (
        isinstance(values, list)
        and len(values) == len(PLACE)
        and all(type(value) is int and abs(value) < 10**9 for value in values)
    ):
        return values
    raise errors.BadDataError(
        f"{path}: {strict_json.short(entry)} is no layer and neuron. Write pairs of integers, or objects with both."
    )

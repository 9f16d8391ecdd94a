"""The candidates of a study: pairs of a neuron and an n-gram, among which its detectors are found.

In: pieces of a layer's candidates as counting gives them, kept in a file of the layer's own. Out:
the arrays `candidate_{n}_*` of all layers, and a layer's rows of them in blocks. However many there
are, a piece or a part of an array is all that is ever held.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jaxneurons import errors
from jaxneurons.studies.array import ArraySpec, StudyArray
from jaxneurons.studies.directory import PARTIAL, Study
from jaxneurons.terms import ORDERS

FIELDS = ("layer", "neuron", "activations", "occurrences", "ngram")
# Rows of an array that are written and read at a time: 12 MiB of trigrams.
ROWS_PER_PART = 2**20


def specs(n: int, rows: int = ROWS_PER_PART) -> dict[str, ArraySpec]:
    """The arrays of candidates for n-gram detectors, by name; `rows` of them to a part."""
    candidate = f"candidate_{n}"
    return {
        f"{candidate}_{field}": ArraySpec(
            (candidate, f"token_{n}") if field == "ngram" else (candidate,),
            "int32",
            rows,
        )
        for field in FIELDS
    }


def save(study: Study, layer: int, pieces: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Keeps a layer's candidates until the study is joined; replaces what a killed run left.

    Args:
        pieces: arrays by name, all of one n each; at least one piece for every n.
    """
    with study.writing(_name(layer)) as file, zipfile.ZipFile(file, "w") as archive:
        for index, piece in enumerate(pieces):
            for name, data in piece.items():
                with archive.open(f"{name}.{index}.npy", "w") as entry:
                    np.lib.format.write_array(entry, data, allow_pickle=False)


def layers_without(study: Study) -> list[int]:
    """Layers that are done, but whose candidates are missing, damaged or another study's."""
    return [
        layer
        for layer in study.asked_layers
        if layer in study.done_layers and not _is_whole(study, layer)
    ]


def _is_whole(study: Study, layer: int) -> bool:
    try:
        study.verified(_name(layer))
    except errors.StudyError:
        return False
    return True


def join(study: Study, rows_per_part: int = ROWS_PER_PART) -> None:
    """Makes the arrays `candidate_{n}_*` out of all layers' candidates, ordered by layer.

    Raises:
        StudyError: those of a layer are missing, damaged or another study's.
    """
    for layer in study.asked_layers:
        study.verified(_name(layer))
    for n in ORDERS:
        rows = _count(_read_all(study, n, "neuron"))
        for name, spec in specs(n, rows_per_part).items():
            field = name.removeprefix(f"candidate_{n}_")
            shape = (rows, n) if field == "ngram" else (rows,)
            study.create_array(name, shape, spec)
            study.write_rows(name, _read_all(study, n, field))


def layer_ends(study: Study, n: int) -> np.ndarray:
    """The row of `candidate_{n}_*` that each layer's rows end before, int64[L]."""
    layers = study.identity.model.config.num_hidden_layers
    rows = np.zeros(layers, np.int64)
    for part in study.array(f"candidate_{n}_layer").read_parts():
        rows += np.bincount(part, minlength=layers)
    return np.cumsum(rows)


def read_blocks(
    study: Study, n: int, first: int, last: int
) -> Iterator[dict[str, np.ndarray]]:
    """A layer's rows, from `first` and before `last`, field by name, in blocks of about a part.

    There is at least one block, which may be empty; a neuron's rows are in one block.
    """
    arrays = {field: study.array(f"candidate_{n}_{field}") for field in FIELDS[1:]}
    while True:
        end = _block_end(arrays["neuron"], first, last)
        yield {name: array.read_rows(first, end) for name, array in arrays.items()}
        if end == last:
            return
        first = end


def _block_end(neuron: StudyArray, first: int, last: int) -> int:
    """Where a block that begins at `first` ends: with the last neuron that is whole in it."""
    end = first
    while (end := min(end + neuron.part_rows, last)) < last:
        neurons = neuron.read_rows(first, end + 1)
        if neurons[0] != neurons[-1]:
            return first + int(np.searchsorted(neurons, neurons[-1]))
    return last


def _count(pieces: Iterable[np.ndarray]) -> int:
    return sum(map(len, pieces))


def _read_all(study: Study, n: int, field: str) -> Iterator[np.ndarray]:
    for layer in study.asked_layers:
        yield from _read(study, layer, n, field)


def _read(study: Study, layer: int, n: int, field: str) -> Iterator[np.ndarray]:
    """The pieces of a field of a layer's candidates, as `save` kept them."""
    stored = "neuron" if field == "layer" else field
    with np.load(study.folder / _name(layer)) as found:
        for name in found.files:
            if name.startswith(f"candidate_{n}_{stored}."):
                data = found[name]
                yield np.full(len(data), layer, np.int32) if field == "layer" else data


def _name(layer: int) -> str:
    return f"{PARTIAL}/candidates_{layer:03d}.npz"

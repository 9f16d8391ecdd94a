"""The candidates of a study, the pairs of a neuron and an n-gram that its detectors are found among.

In: pieces of a layer's candidates as counting gives them, kept in a file of the layer's own. Out: the arrays
`candidate_{n}_*` of all layers, and a layer's rows of them in blocks. However many there are, a piece or a
part of an array is all that is ever held.
"""

import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.studies import contents
from jaxneurons.studies.contents import ORDERS
from jaxneurons.studies.study import ArraySpec, Study

FIELDS = ("layer", "neuron", "activations", "occurrences", "ngram")
# Rows of an array that are written and read at a time: 12 MiB of trigrams.
ROWS_AT_ONCE = 2**20


def specs(n: int) -> dict[str, ArraySpec]:
    """The arrays of candidates for n-gram detectors, by name."""
    candidate = f"candidate_{n}"
    return {
        f"{candidate}_{field}": ArraySpec(
            (candidate, f"token_{n}") if field == "ngram" else (candidate,),
            "int32",
            ROWS_AT_ONCE,
        )
        for field in FIELDS
    }


def save(record: Study, layer: int, pieces: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Keeps a layer's candidates until the study is joined; replaces what a killed run left.

    Args:
        pieces: arrays by name, all of one n each; at least one piece for every n.
    """
    with (
        files.replacing(_path(record, layer)) as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        owner = np.array(contents.owner_of(record, layer))
        _write(archive, contents.OWNER, owner)
        for index, piece in enumerate(pieces):
            for name, data in piece.items():
                _write(archive, f"{name}.{index}", data)


def layers_without(record: Study) -> list[int]:
    """Layers that are done, but whose candidates are missing or damaged."""
    lost = []
    for layer in set(record.done_layers) & set(record.asked_layers):
        try:
            for n in ORDERS:
                for field in FIELDS:
                    _count(_read(record, layer, n, field))
        except errors.StudyError:
            lost.append(layer)
    return lost


def join(record: Study) -> None:
    """Makes the arrays `candidate_{n}_*` out of all layers' candidates, ordered by layer."""
    for n in ORDERS:
        rows = _count(_read_all(record, n, "neuron"))
        for name, spec in specs(n).items():
            field = name.removeprefix(f"candidate_{n}_")
            shape = (rows, n) if field == "ngram" else (rows,)
            record.create_array(name, shape, spec)
            record.write_rows(name, _read_all(record, n, field))


def layer_ends(record: Study, n: int) -> np.ndarray:
    """The row of `candidate_{n}_*` that each layer's rows end before, int64[L]."""
    layers = record.manifest["model"]["config"]["num_hidden_layers"]
    rows = np.zeros(layers, np.int64)
    for part in record.read_parts(f"candidate_{n}_layer"):
        rows += np.bincount(part, minlength=layers)
    return np.cumsum(rows)


def read_blocks(
    record: Study, n: int, first: int, last: int
) -> Iterator[dict[str, np.ndarray]]:
    """A layer's rows, from `first` and before `last`, field by name, in blocks; a neuron's are in one block.

    There is at least one block, which may be empty.
    """
    while True:
        end = _block_end(record, n, first, last)
        yield {
            field: record.read_rows(f"candidate_{n}_{field}", first, end)
            for field in FIELDS[1:]
        }
        if end == last:
            return
        first = end


def _block_end(record: Study, n: int, first: int, last: int) -> int:
    """Where a block that begins at `first` ends: with the last neuron that is whole in it."""
    end = first
    while (end := min(end + ROWS_AT_ONCE, last)) < last:
        neurons = record.read_rows(f"candidate_{n}_neuron", first, end + 1)
        if neurons[0] != neurons[-1]:
            return first + int(np.searchsorted(neurons, neurons[-1]))
    return last


def _write(archive: zipfile.ZipFile, name: str, data: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w") as entry:
        np.lib.format.write_array(entry, data, allow_pickle=False)


def _count(pieces: Iterable[np.ndarray]) -> int:
    return sum(map(len, pieces))


def _read_all(record: Study, n: int, field: str) -> Iterator[np.ndarray]:
    for layer in record.asked_layers:
        yield from _read(record, layer, n, field)


def _read(record: Study, layer: int, n: int, field: str) -> Iterator[np.ndarray]:
    """The pieces of a field of a layer's candidates, as `save` kept them."""
    stored = "neuron" if field == "layer" else field
    path, name = _path(record, layer), f"candidate_{n}_{stored}"
    any_yet = False
    owner = contents.owner_of(record, layer)
    for _, data in contents.read_arrays(path, owner, f"{name}."):
        any_yet = True
        yield np.full(len(data), layer, np.int32) if field == "layer" else data
    if not any_yet:
        raise errors.StudyError(f"{path} is damaged: no {name}; run the study again")


def _path(record: Study, layer: int) -> pathlib.Path:
    return record.partial / f"candidates_{layer:03d}.npz"

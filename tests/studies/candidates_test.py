"""A layer's candidates come back whatever the pieces, or an error names the file."""

import dataclasses

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.studies import candidates, opening
from jaxneurons.terms import ORDERS
from tests.support import cases, small_study

LAYERS = (1, 2)
IDENTITY = dataclasses.replace(
    small_study.IDENTITY,
    settings=dataclasses.replace(
        small_study.IDENTITY.settings, first_layer=1, last_layer=2
    ),
)
# Rows of a part of the arrays, which are also about the most that is read at a time.
ROWS = 4


def begin(folder):
    with opening.creating(folder / "study", IDENTITY):
        pass
    return opening.open_any(folder / "study")


@pytest.fixture
def study(tmp_path):
    return begin(tmp_path)


def rows_of(layer, rows, n):
    """So many candidates of a layer, two a neuron, field by name."""
    numbers = np.arange(rows, dtype=np.int32) + 100 * layer
    return {
        "neuron": np.arange(rows, dtype=np.int32) // 2,
        "activations": numbers,
        "occurrences": numbers + 1,
        "ngram": numbers[:, None] + np.arange(n, dtype=np.int32),
    }


def in_pieces(layer, rows, sizes):
    """The same for every n, in pieces of these sizes and the rest."""
    for n in ORDERS:
        for chosen in np.split(np.arange(rows), np.cumsum(sizes)):
            found = rows_of(layer, rows, n)
            yield {f"candidate_{n}_{name}": a[chosen] for name, a in found.items()}


def join(study, rows, sizes=()):
    for layer in LAYERS:
        candidates.save(study, layer, in_pieces(layer, rows, sizes))
    candidates.join(study, ROWS)


def assert_joined(study, rows):
    for n in ORDERS:
        layers = study.read(f"candidate_{n}_layer")
        np.testing.assert_array_equal(layers, np.repeat(LAYERS, rows))
        both = [rows_of(layer, rows, n) for layer in LAYERS]
        for name in candidates.FIELDS[1:]:
            wanted = np.concatenate([found[name] for found in both])
            np.testing.assert_array_equal(study.read(f"candidate_{n}_{name}"), wanted)


@cases.each("rows", [0, 1, 4, 7, 30], every_day=[0, 7])
@cases.each("sizes", [[], [0], [1, 0, 3], [9]], every_day=[[], [1, 0, 3]])
def test_layers_are_joined_in_their_order_whatever_the_pieces(tmp_path, rows, sizes):
    study = begin(tmp_path)
    join(study, rows, sizes)
    assert_joined(study, rows)


def test_parts_are_files_with_a_digest_each(study):
    join(study, 5)
    folder = study.arrays_path / "candidate_2_ngram"
    chunks = {f"c.{part}.0" for part in range(3)}
    assert {file.name for file in folder.iterdir()} == chunks | {"zarr.json"}
    assert len(study.facts.arrays["candidate_2_ngram"].digests) == 3
    study.save()
    assert_joined(opening.open_any(study.path), 5)


@pytest.mark.fault(case=21)
def test_swapped_parts_are_noticed(study):
    join(study, 4)
    folder = study.arrays_path / "candidate_1_activations"
    (folder / "c.0").rename(folder / "x")
    (folder / "c.1").rename(folder / "c.0")
    (folder / "x").rename(folder / "c.1")
    with pytest.raises(errors.StudyError, match="activations, part 1, is damaged"):
        study.array("candidate_1_activations").read_rows(5, 7)
    with pytest.raises(errors.StudyError, match="activations, part 0, is damaged"):
        study.read("candidate_1_activations")


@cases.each("rows", [0, 1, 3, 4, 9, 30])
def test_blocks_are_a_layers_rows_and_no_neuron_is_cut(tmp_path, rows):
    study = begin(tmp_path)
    join(study, rows)
    ends = candidates.layer_ends(study, 2)
    assert ends.tolist() == [0, rows, 2 * rows]
    blocks = list(candidates.read_blocks(study, 2, rows, 2 * rows))
    for name, wanted in rows_of(LAYERS[1], rows, 2).items():
        joined = np.concatenate([block[name] for block in blocks])
        np.testing.assert_array_equal(joined, wanted)
    assert max(len(block["neuron"]) for block in blocks) <= 4
    neurons = [set(block["neuron"].tolist()) for block in blocks]
    assert sum(map(len, neurons)) == len(set().union(*neurons))


def test_a_neuron_larger_than_a_block_is_not_cut_either(study):
    join(study, 2)
    found = {
        f"candidate_{n}_{name}": np.repeat(array, 9, axis=0)
        for n in ORDERS
        for name, array in rows_of(1, 4, n).items()
    }
    candidates.save(study, 1, [found])
    candidates.join(study, ROWS)
    sizes = [len(b["neuron"]) for b in candidates.read_blocks(study, 1, 0, 36)]
    assert sizes == [18, 18]


def save_both(study):
    for layer in LAYERS:
        candidates.save(study, layer, in_pieces(layer, 2, [1]))
        study.finish_layer(small_study.done(layer), [])


@pytest.mark.fault(case=21)
@cases.each("cut", [0, 30, 700])
def test_damaged_candidates_are_named(tmp_path, cut):
    study = begin(tmp_path)
    save_both(study)
    (file,) = study.partial.glob("candidates_002*")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(errors.StudyError, match="candidates_002.npz is damaged"):
        candidates.join(study, ROWS)
    assert candidates.layers_without(study) == [2]


@pytest.mark.fault(case=21)
def test_another_layers_file_is_found(study):
    save_both(study)
    first, second = sorted(study.partial.glob("candidates_*"))
    first.write_bytes(second.read_bytes())
    assert candidates.layers_without(study) == [1]

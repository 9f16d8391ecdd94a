"""The candidates of each layer: the same again in any pieces, a piece at a time, or an error that names the file."""

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.studies import candidates, study, study_array
from jaxneurons.studies.contents import ORDERS

NAMES = ("corpus", "settings", "versions", "device")
IDENTITY = {name: {} for name in NAMES} | {
    "model": {"config": {"num_hidden_layers": 5}},
    "special_tokens": [1, 2],
}
LAYERS = (1, 3)


@pytest.fixture
def record(tmp_path):
    with study.creating(tmp_path / "study", IDENTITY, LAYERS):
        pass
    return study.open_study(tmp_path / "study")


@pytest.fixture
def small_parts(monkeypatch):
    """Arrays in parts of 4 rows, which are also the most that is read at a time."""
    monkeypatch.setattr(candidates, "ROWS_AT_ONCE", 4)


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


def join(record, rows, sizes=()):
    for layer in LAYERS:
        candidates.save(record, layer, in_pieces(layer, rows, sizes))
    candidates.join(record)


def assert_joined(record, rows):
    for n in ORDERS:
        layers = record.read(f"candidate_{n}_layer")
        np.testing.assert_array_equal(layers, np.repeat(LAYERS, rows))
        both = [rows_of(layer, rows, n) for layer in LAYERS]
        for name in candidates.FIELDS[1:]:
            wanted = np.concatenate([found[name] for found in both])
            np.testing.assert_array_equal(record.read(f"candidate_{n}_{name}"), wanted)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 7, 8, 30])
@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 3], [9]])
def test_layers_are_joined_in_their_order_whatever_the_pieces(
    record, small_parts, rows, sizes
):
    join(record, rows, sizes)
    assert_joined(record, rows)


def test_parts_are_files_with_a_digest_each(record, small_parts):
    join(record, 5)
    folder = record.arrays_path / "candidate_2_ngram"
    chunks = {f"c.{part}.0" for part in range(3)}
    assert {file.name for file in folder.iterdir()} == chunks | {"zarr.json"}
    assert len(record.manifest["arrays"]["candidate_2_ngram"]["digests"]) == 3
    record.save_manifest()
    assert_joined(study.open_study(record.path), 5)


@pytest.mark.fault(case=21)
def test_swapped_parts_are_noticed(record, small_parts):
    join(record, 4)
    folder = record.arrays_path / "candidate_1_activations"
    (folder / "c.0").rename(folder / "x")
    (folder / "c.1").rename(folder / "c.0")
    (folder / "x").rename(folder / "c.1")
    with pytest.raises(errors.StudyError, match="activations, part 1, is damaged"):
        record.read_rows("candidate_1_activations", 5, 7)
    with pytest.raises(errors.StudyError, match="activations, part 0, is damaged"):
        record.read("candidate_1_activations")


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 9, 30])
def test_blocks_are_a_layers_rows_and_no_neuron_is_cut(record, small_parts, rows):
    join(record, rows)
    ends = candidates.layer_ends(record, 2)
    assert ends.tolist() == [0, rows, rows, 2 * rows, 2 * rows]
    blocks = list(candidates.read_blocks(record, 2, rows, 2 * rows))
    for name, wanted in rows_of(LAYERS[1], rows, 2).items():
        joined = np.concatenate([block[name] for block in blocks])
        np.testing.assert_array_equal(joined, wanted)
    assert max(len(block["neuron"]) for block in blocks) <= 4
    neurons = [set(block["neuron"].tolist()) for block in blocks]
    assert sum(map(len, neurons)) == len(set().union(*neurons))


def test_a_neuron_larger_than_a_block_is_not_cut_either(record, small_parts):
    join(record, 2)
    found = {
        f"candidate_{n}_{name}": np.repeat(array, 9, axis=0)
        for n in ORDERS
        for name, array in rows_of(1, 4, n).items()
    }
    candidates.save(record, 1, [found])
    candidates.join(record)
    sizes = [len(b["neuron"]) for b in candidates.read_blocks(record, 1, 0, 36)]
    assert sizes == [18, 18]


def test_a_study_written_before_there_were_parts_is_read(record, small_parts):
    for n in ORDERS:
        both = [rows_of(layer, 9, n) | {"layer": np.full(9, layer)} for layer in LAYERS]
        for name, spec in candidates.specs(n).items():
            field = name.removeprefix(f"candidate_{n}_")
            joined = np.concatenate([found[field] for found in both])
            whole = study_array.ArraySpec(spec.dimensions, spec.dtype)
            record.create_array(name, joined.shape, whole)
            record.write_array(name, joined)
    record.save_manifest()
    before = study.open_study(record.path)
    assert "rows" not in before.manifest["arrays"]["candidate_1_neuron"]
    assert_joined(before, 9)
    assert candidates.layer_ends(before, 3)[LAYERS[0]] == 9
    blocks = list(candidates.read_blocks(before, 3, 9, 18))
    assert len(blocks) > 1
    for name, wanted in rows_of(LAYERS[1], 9, 3).items():
        joined = np.concatenate([block[name] for block in blocks])
        np.testing.assert_array_equal(joined, wanted)


def save_both(record):
    for layer in LAYERS:
        candidates.save(record, layer, in_pieces(layer, 2, [1]))
        record.manifest["layers"]["done"].append({"layer": layer})


@pytest.mark.fault(case=21)
@pytest.mark.parametrize("cut", [0, 30, 700])
def test_damaged_candidates_are_named(record, cut):
    save_both(record)
    (file,) = record.partial.glob("candidates_003*")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(errors.StudyError, match="candidates_003.npz is damaged"):
        candidates.join(record)
    assert candidates.layers_without(record) == [3]


@pytest.mark.fault(case=21)
def test_another_layers_file_is_found(record):
    save_both(record)
    first, third = sorted(record.partial.glob("candidates_*"))
    first.write_bytes(third.read_bytes())
    assert candidates.layers_without(record) == [1]


@pytest.mark.fault(case=23)
def test_a_folder_in_place_of_candidates_is_one_line(record):
    save_both(record)
    (file,) = record.partial.glob("candidates_001*")
    file.unlink()
    file.mkdir()
    with pytest.raises(errors.InputOutputError, match="candidates_001.npz: Is a dir"):
        candidates.layers_without(record)


@pytest.mark.fault(case=21)
def test_any_flipped_bit_of_the_directory_is_damage_or_without_effect(record):
    save_both(record)
    (file,) = record.partial.glob("candidates_001*")
    content = file.read_bytes()
    directory = content.index(b"PK\x01\x02")
    lost = 0
    for bit in range(8 * directory, 8 * len(content), 3):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        lost += candidates.layers_without(record) == [1]
    assert lost > 100


@pytest.mark.fault(case=21)
def test_candidates_without_a_field_are_damaged(record):
    save_both(record)
    assert candidates.layers_without(record) == []
    pieces = list(in_pieces(1, 2, []))
    del pieces[2]["candidate_3_ngram"]
    candidates.save(record, 1, pieces)
    assert candidates.layers_without(record) == [1]

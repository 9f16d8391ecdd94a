"""The vocabulary and the candidates of each layer: the same again, or an error that names the file."""

import shutil

import numpy as np
import pytest

from jaxneurons import errors, study, study_contents

NAMES = ("model", "corpus", "settings", "versions", "device")
IDENTITY = {name: {} for name in NAMES} | {"special_tokens": [1, 2]}


@pytest.fixture
def record(tmp_path):
    with study.creating(tmp_path / "study", IDENTITY, [1, 3]):
        pass
    return study.open_study(tmp_path / "study")


def candidates(layer, number):
    """As many candidates for each n as `number` says, told apart by layer."""
    return {
        f"candidate_{n}_{field}": np.full((number, n), layer, np.int32)
        if field == "ngram"
        else np.arange(number, dtype=np.int32) + 100 * layer
        for n in study_contents.ORDERS
        for field in ("neuron", "activations", "occurrences", "ngram")
    }


def test_vocabulary_comes_back(record):
    study_contents.write_vocabulary(record, ["Ġa", "\ud7ff", "c"], 2)
    assert study_contents.read_vocabulary(record) == (["Ġa", "\ud7ff", "c"], 2)


@pytest.mark.fault(case=21)
def test_damaged_or_missing_vocabulary(record):
    with pytest.raises(errors.StudyError, match="vocabulary.json is missing"):
        study_contents.read_vocabulary(record)
    study_contents.write_vocabulary(record, ["a", "b"], 2)
    file = record.path / "vocabulary.json"
    file.write_text(file.read_text().replace('"b"', '"c"'))
    with pytest.raises(errors.StudyError, match="vocabulary.json is damaged"):
        study_contents.read_vocabulary(record)


@pytest.mark.fault(case=21)
def test_files_put_in_anothers_place_are_found(record, tmp_path):
    for layer in (1, 3):
        study_contents.save_candidates(record, layer, candidates(layer, 2))
    first, third = sorted(record.partial.glob("candidates_*"))
    first.write_bytes(third.read_bytes())
    assert study_contents.layers_without_candidates(done(record)) == [1]
    with study.creating(tmp_path / "other", IDENTITY | {"special_tokens": [3]}, [1, 3]):
        pass
    other = study.open_study(tmp_path / "other")
    study_contents.write_vocabulary(other, ["a", "b"], 2)
    shutil.copy(other.path / "vocabulary.json", record.path)
    with pytest.raises(errors.StudyError, match=r"vocabulary\.json belongs to another"):
        study_contents.read_vocabulary(record)


def done(record):
    """The study as it is when all layers are done."""
    for layer in record.asked_layers:
        record.finish_layer({"layer": layer}, [])
    return record


@pytest.mark.fault(case=23)
def test_a_folder_in_place_of_candidates_is_one_line(record):
    study_contents.save_candidates(record, 1, candidates(1, 2))
    (file,) = record.partial.glob("candidates_*")
    file.unlink()
    file.mkdir()
    with pytest.raises(errors.InputOutputError, match="candidates_001.npz: Is a dir"):
        study_contents.layers_without_candidates(done(record))


def test_candidates_of_all_layers_are_joined_in_their_order(record):
    for layer, number in ((1, 2), (3, 3)):
        study_contents.save_candidates(record, layer, candidates(layer, number))
    study_contents.join_candidates(record)
    layers = record.read("candidate_2_layer")
    np.testing.assert_array_equal(layers, [1, 1, 3, 3, 3])
    np.testing.assert_array_equal(
        record.read("candidate_3_neuron"), [100, 101, 300, 301, 302]
    )
    assert record.read("candidate_3_ngram").shape == (5, 3)


def test_no_candidates_at_all(record):
    for layer in (1, 3):
        study_contents.save_candidates(record, layer, candidates(layer, 0))
    study_contents.join_candidates(record)
    assert record.read("candidate_2_ngram").shape == (0, 2)


@pytest.mark.fault(case=21)
@pytest.mark.parametrize("cut", [0, 30, 700])
def test_damaged_candidates_are_named(record, cut):
    for layer in (1, 3):
        study_contents.save_candidates(record, layer, candidates(layer, 2))
    (file,) = record.partial.glob("candidates_003*")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(errors.StudyError, match="candidates_003.npz is damaged"):
        study_contents.join_candidates(record)

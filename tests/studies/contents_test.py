"""The vocabulary: the same again, or an error that names the file."""

import shutil

import pytest

from jaxneurons import errors
from jaxneurons.studies import contents, study

NAMES = ("model", "corpus", "settings", "versions", "device")
IDENTITY = {name: {} for name in NAMES} | {"special_tokens": [1, 2]}


@pytest.fixture
def record(tmp_path):
    with study.creating(tmp_path / "study", IDENTITY, [1, 3]):
        pass
    return study.open_study(tmp_path / "study")


def test_vocabulary_comes_back(record):
    contents.write_vocabulary(record, ["Ġa", "\ud7ff", "c"], 2)
    assert contents.read_vocabulary(record) == (["Ġa", "\ud7ff", "c"], 2)


@pytest.mark.fault(case=21)
def test_damaged_or_missing_vocabulary(record):
    with pytest.raises(errors.StudyError, match="vocabulary.json is missing"):
        contents.read_vocabulary(record)
    contents.write_vocabulary(record, ["a", "b"], 2)
    file = record.path / "vocabulary.json"
    file.write_text(file.read_text().replace('"b"', '"c"'))
    with pytest.raises(errors.StudyError, match="vocabulary.json is damaged"):
        contents.read_vocabulary(record)


@pytest.mark.fault(case=21)
def test_a_vocabulary_put_in_anothers_place_is_found(record, tmp_path):
    contents.write_vocabulary(record, ["a", "b"], 2)
    with study.creating(tmp_path / "other", IDENTITY | {"special_tokens": [3]}, [1, 3]):
        pass
    other = study.open_study(tmp_path / "other")
    contents.write_vocabulary(other, ["a", "b"], 2)
    shutil.copy(other.path / "vocabulary.json", record.path)
    with pytest.raises(errors.StudyError, match=r"vocabulary\.json belongs to another"):
        contents.read_vocabulary(record)

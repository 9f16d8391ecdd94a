"""Sums for the next pass, and the vocabulary: they come back, or an error names the file."""

import numpy as np
import pytest
import tokenizers
from tokenizers import models

from jaxneurons import errors
from jaxneurons.studies import contents, opening, vocabulary
from tests.support import small_study


@pytest.fixture
def study(tmp_path):
    small_study.create(tmp_path / "study")
    return opening.open_any(tmp_path / "study")


def save(study, layer, windows):
    found = {"count": np.arange(5) + 10 * layer + windows, "seconds": np.float64(0.5)}
    contents.save_counts(study, layer, windows, found)
    return found


def test_sums_come_back_until_the_next_pass_has_added_its_own(study):
    wanted = {
        (layer, windows): save(study, layer, windows)
        for windows in (4, 8)
        for layer in (0, 1)
    }
    for (layer, windows), sums in wanted.items():
        found = contents.read_counts(study, layer, windows)
        assert found.keys() == sums.keys() and found["seconds"] == 0.5
        np.testing.assert_array_equal(found["count"], sums["count"])
    contents.remove_counts(study, but=8)
    assert {path.name for path in study.partial.iterdir()} == {
        "counts_000_8.npz",
        "counts_001_8.npz",
    }
    with pytest.raises(errors.StudyError, match="counts_000_4.npz is missing"):
        contents.read_counts(study, 0, 4)


@pytest.mark.fault(case=21)
def test_sums_of_another_layer_are_refused(study):
    save(study, 0, 4)
    save(study, 1, 4)
    (study.partial / "counts_001_4.npz").rename(study.partial / "counts_000_4.npz")
    with pytest.raises(errors.StudyError, match="counts_000_4.npz is damaged"):
        contents.read_counts(study, 0, 4)


def test_the_vocabulary_is_the_tokenizers(study):
    entries = {"<s>": 0, "a": 4, "Ġb": 7}
    content = tokenizers.Tokenizer(models.WordLevel(entries, "a")).to_str().encode()
    vocabulary.write(study, content)
    assert vocabulary.read(study) == (
        ("<s>", "<id 1>", "<id 2>", "<id 3>", "a", "<id 5>", "<id 6>", "Ġb", "<id 8>"),
        # The text of the small study has ids up to 27.
        28,
    )


def test_without_a_tokenizer_ids_are_spelled_as_numbers(study):
    pieces, real = vocabulary.read(study)
    assert pieces == tuple(f"<id {token}>" for token in range(9)) and real == 28


@pytest.mark.fault(case=21)
def test_another_tokenizer_is_refused(study):
    vocabulary.write(study, b"{}")
    (study.path / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(errors.StudyError, match="tokenizer.json is damaged"):
        vocabulary.read(study)

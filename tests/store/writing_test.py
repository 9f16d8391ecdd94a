"""Writing a store: what does not fit is refused, nothing is left of what fails, and nothing is overwritten."""

import pathlib
import resource

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.store import random_model, reading, writing
from tests.support import cases, stores


@cases.each(
    "name, array, message",
    [
        ("layers/002/feed_forward/fc1/kernel", np.zeros((6, 5), "f4"), "has no array"),
        ("../outside", np.zeros(1, "f4"), "has no array"),
        ("embed/token_embedding", np.zeros((11, 6), "f4"), "was written before"),
        (stores.FC1, np.zeros((5, 6), "f4"), r"float32\[5, 6\]; expected \[6, 5\]"),
        (stores.FC1, np.zeros((6, 5), "f8"), "float64"),
        (stores.FC1, np.zeros((6, 5), ">f4"), ">f4"),
        (stores.FC1, np.zeros((6, 5), "i4"), "int32"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path, name, array, message):
    with (
        pytest.raises(errors.StoreError, match=message),
        writing.Writer(tmp_path / "a", stores.SMALL) as writer,
    ):
        writer.write("embed/token_embedding", np.zeros((11, 6), np.float32))
        writer.write(name, array)
    assert list(tmp_path.iterdir()) == []


def test_missing_arrays_are_named_and_nothing_is_left(tmp_path):
    arrays = dict(random_model.arrays(stores.SMALL))
    del arrays[stores.FC1], arrays["embed/token_embedding"]
    with pytest.raises(errors.StoreError) as caught:
        stores.write(tmp_path / "a", arrays=arrays)
    assert stores.FC1 in str(caught.value) and "embed/token_embedding" in str(
        caught.value
    )
    assert list(tmp_path.iterdir()) == []


def test_a_store_left_without_publish_is_an_error_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(errors.StoreError, match="without `publish`"),
        writing.Writer(tmp_path / "a", stores.SMALL),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_refused_and_untouched(path):
    before = fingerprint_of_tree(path)
    with pytest.raises(errors.OutputExistsError, match="a store is never overwritten"):
        stores.write(path)
    assert fingerprint_of_tree(path) == before


@pytest.mark.fault(case=13)
def test_a_refused_write_leaves_nothing_and_can_be_run_again(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (1, 100, 250, 300, 1000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(errors.InputOutputError, match="a.*: File too large"):
                stores.write(tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []
    stores.write(tmp_path / "a")
    verify(tmp_path / "a")


@pytest.mark.fault(case=15)
def test_no_lock_file_is_published(path):
    names = [file.name for file in path.rglob("*") if file.is_file()]
    assert len(names) > 40 and not [n for n in names if "lock" in n or "partial" in n]


def verify(path, model_config=stores.SMALL):
    """Asserts that a store of seed 0 is as `write` made it."""
    model = reading.open_store(path)
    wanted = dict(random_model.arrays(model_config, dtype="float16"))
    for layer in (0, 1):
        for name, array in stores.flatten(model.read_layer(layer)):
            assert array.tobytes() == wanted[f"layers/{layer:03d}/{name}"].tobytes()
    model.read_embed()
    assert model.read_tokenizer() == stores.TOKENIZER
    assert not list(pathlib.Path(path).rglob("*__lock"))


def fingerprint_of_tree(path):
    """Names, times and contents of all files below a path."""
    return {
        file: (file.stat().st_mtime_ns, file.read_bytes())
        for file in path.rglob("*")
        if file.is_file()
    }

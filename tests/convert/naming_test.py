"""A model is called by its id where that is known, else by its directory, never "." or a hash."""

import pytest

from convert import cached, naming
from jaxneurons import errors
from tests.support import tiny_models


def test_the_address_of_a_page_is_its_id():
    for address in (
        "https://huggingface.co/facebook/opt-125m",
        "https://huggingface.co/facebook/opt-125m/",
        "http://www.huggingface.co/facebook/opt-125m/tree/main",
        "huggingface.co/facebook/opt-125m",
        "https://hf.co/facebook/opt-125m",
    ):
        assert naming.model_id(address) == "facebook/opt-125m"
    for other in (
        "facebook/opt-125m",
        "opt",
        "gs://bucket/facebook/opt-125m",
        "https://huggingface.co/me/stores/resolve/main/opt-125m/",
        "huggingface.com/a/b",
    ):
        assert naming.model_id(other) == other
    for other in (
        "https://huggingface.co",
        "https://huggingface.co/facebook",
        "https://huggingface.co/facebook/opt-125m/blob/main/config.json",
        "https://huggingface.co/facebook/opt-125m/tree/refs%2Fpr%2F1",
        "hf.co/facebook/opt-125m?library=transformers",
        "https://huggingface.co/datasets/imdb",
    ):
        with pytest.raises(errors.UsageError, match="Pass the model's id"):
            naming.model_id(other)


def test_directories_give_their_names(tmp_path, monkeypatch):
    snapshot = tmp_path / "models--facebook--opt-125m" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    assert naming.model_name(snapshot) == "facebook/opt-125m"
    assert naming.model_name(snapshot.parents[1]) == "facebook/opt-125m"
    assert naming.title(snapshot) == "opt-125m"
    (tmp_path / "my-model" / "snapshots" / "0123abc").mkdir(parents=True)
    assert naming.title(tmp_path / "my-model" / "snapshots" / "0123abc") == "my-model"
    monkeypatch.chdir(tmp_path / "my-model")
    assert [naming.title(name) for name in (".", "./", "snapshots/..")] == [
        "my-model"
    ] * 3
    assert naming.title("/") == "model"
    assert naming.title("gs://bucket/opt-125m/") == "opt-125m"


def test_a_model_in_the_working_directory_is_called_by_it(tmp_path, monkeypatch):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    monkeypatch.chdir(directory)
    title, opened = cached.open_model(".", tmp_path / "cache")
    assert title == opened.manifest["source"]["name"] == "model"
    monkeypatch.chdir(opened.location)
    assert cached.open_model(".", tmp_path / "cache")[0].startswith("model-")

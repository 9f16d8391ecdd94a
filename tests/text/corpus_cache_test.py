"""Text is tokenized once, and never served where it does not belong."""

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.text import corpus, documents
from tests.support import tiny_tokenizers


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tiny_tokenizers.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return corpus.load_tokenizer(folder, tiny_tokenizers.CONFIG)


def load(path, tokenizer=None, window=8, max_tokens=None, cache_directory=None):
    sources = [("a", path)]
    return corpus.load_windows(
        sources, tokenizer, tiny_tokenizers.CONFIG, window, max_tokens, cache_directory
    )


def forbid_reading(monkeypatch):
    def refuse(file):
        raise AssertionError(f"{file.path} was read")

    monkeypatch.setattr(documents, "read_documents", refuse)


def test_text_is_tokenized_once(tmp_path, monkeypatch):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", range(5, 50), range(5, 50))
    cache_directory = tmp_path / "cache"
    whole = load(path, cache_directory=cache_directory)
    forbid_reading(monkeypatch)
    np.testing.assert_array_equal(
        load(path, cache_directory=cache_directory).tokens, whole.tokens
    )
    begun = load(path, max_tokens=20, cache_directory=cache_directory)
    np.testing.assert_array_equal(begun.tokens[:2], whole.tokens[:2])
    [folder] = (cache_directory / "tokens").iterdir()
    assert (folder.name,) == whole.fingerprints == begun.fingerprints


def test_beginning_is_tokenized_once(tmp_path, monkeypatch):
    sources = [("a", tiny_tokenizers.token_file(tmp_path / "a.jsonl", range(5, 50)))]
    sources.append(("b", tiny_tokenizers.token_file(tmp_path / "b.jsonl", [5])))
    args = (sources, None, tiny_tokenizers.CONFIG, 8, 30, tmp_path / "cache")
    begun = corpus.load_windows(*args)
    assert begun.lengths.sum() == 30
    with monkeypatch.context() as context:
        forbid_reading(context)
        np.testing.assert_array_equal(corpus.load_windows(*args).tokens, begun.tokens)
    # More than the cached beginning needs the text again.
    assert load(sources[0][1], cache_directory=tmp_path / "cache").lengths.sum() == 52


@pytest.mark.fault(case=20)
def test_damaged_cache_is_made_anew(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", range(5, 50))
    whole = load(path, cache_directory=tmp_path / "cache")
    [entry] = (tmp_path / "cache").rglob("whole-*")
    sound = entry.read_bytes()
    entry.write_bytes(b"\7" + sound[1:])
    again = load(path, cache_directory=tmp_path / "cache")
    np.testing.assert_array_equal(again.tokens, whole.tokens)
    assert entry.read_bytes() == sound


def test_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    assert load(path, cache_directory=path).lengths.tolist() == [2]
    assert "tokens are not cached" in caplog.text


def test_smaller_vocabulary_is_not_served_from_the_cache(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [100])
    load(path, cache_directory=tmp_path)
    small = tiny_tokenizers.tiny_config(vocab_size=50)
    with pytest.raises(errors.CorpusError, match=":1: token 100, wanted 0 to 49"):
        corpus.load_windows([("a", path)], None, small, 8, None, tmp_path)


@pytest.mark.fault(case=20)
def test_text_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    read_documents = documents.read_documents

    def changing(file):
        yield from read_documents(file)
        tiny_tokenizers.token_file(path, [6, 7])

    monkeypatch.setattr(documents, "read_documents", changing)
    with pytest.raises(errors.CorpusError, match="changed while it was read"):
        load(path, cache_directory=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.fault(case=20)
def test_fingerprint_follows_text_names_and_tokenizer(tmp_path, tokenizer):
    folder = tmp_path / "corpus"
    folder.mkdir()
    tiny_tokenizers.token_file(folder / "a.jsonl", [5])
    tiny_tokenizers.token_file(folder / "b.jsonl", [6])
    seen = [load(folder).fingerprints, load(folder, tokenizer).fingerprints]
    (folder / "README.md").write_text("no text")
    assert load(folder, window=4, max_tokens=2).fingerprints == seen[0]
    (folder / "a.jsonl").rename(folder / "c.jsonl")
    seen.append(load(folder).fingerprints)
    (folder / "c.jsonl").rename(folder / "d.jsonl")
    seen.append(load(folder).fingerprints)
    tiny_tokenizers.token_file(folder / "b.jsonl", [7])
    seen.append(load(folder).fingerprints)
    assert len(set(seen)) == 5

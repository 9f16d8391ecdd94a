"""Text to windows, against a reimplementation that holds everything in memory."""

import dataclasses
import gzip
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons import errors
from jaxneurons.text import corpus, windows
from tests.support import cases, tiny_tokenizers

BOS, PAD = 2, 1
TOKENIZER = tiny_tokenizers.load()
CONFIG = tiny_tokenizers.CONFIG


def load(path, window=8, max_tokens=None):
    return corpus.load_windows([("a", path)], None, CONFIG, window, max_tokens)


def naive_windows(domains, window, max_tokens):
    """Rows (domain, tokens without padding) of domains, lists of documents of tokens."""
    whole = []
    for sequences in domains:
        stream = []
        for number, tokens in enumerate(sequences):
            stream += ([BOS] if number else []) + list(tokens)
        rows = []
        while stream:
            rows.append([BOS, *stream[: window - 1]])
            stream = stream[window - 1 :]
        whole.append(rows)
    needs = [sum(map(len, rows)) for rows in whole]
    share = sum(needs)
    while max_tokens and sum(min(need, share) for need in needs) > max_tokens:
        share -= 1
    kept = []
    for domain, rows in enumerate(whole):
        left = share
        for row in rows:
            row = row[:left]
            left -= len(row)
            if len(row) > 1:
                kept.append((domain, row))
    return kept


def as_rows(found):
    rows = []
    for tokens, length, domain in zip(
        found.tokens.tolist(), found.lengths, found.domains, strict=True
    ):
        assert set(tokens[length:]) <= {PAD}
        rows.append((domain, tokens[:length]))
    return rows


def write_domain(folder, contents, data):
    """Spreads documents, text or tokens, over files of every kind, in order."""
    folder.mkdir()
    file_count = data.draw(st.integers(1, min(3, len(contents))))
    bounds = [len(contents) * part // file_count for part in range(file_count + 1)]
    for number in range(file_count):
        part = contents[bounds[number] : bounds[number + 1]]
        key = {str: "text", list: "tokens"}
        lines = "\n".join(json.dumps({key[type(item)]: item}) for item in part).encode()
        if data.draw(st.booleans()):
            (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines))
        else:
            (folder / f"{number}.jsonl").write_bytes(lines)


def encoded(contents):
    """Documents, text or tokens, as tokens."""
    return [
        tiny_tokenizers.encode_bytes(item) if isinstance(item, str) else item
        for item in contents
    ]


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.sampled_from(["</s>", "a</s><pad> <unk>", "<s>"]),
)
TOKENS = st.lists(st.sampled_from([0, *range(3, CONFIG.vocab_size)]), max_size=30)
DOMAIN = st.lists(TEXT | TOKENS, min_size=1, max_size=8).filter(any)
DOMAINS = st.lists(DOMAIN, min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    domains=DOMAINS,
    window=st.integers(2, 12),
    max_tokens=st.none() | st.integers(8, 150),
    data=st.data(),
)
def test_windows_are_those_of_the_definition(domains, window, max_tokens, data):
    expected = naive_windows(map(encoded, domains), window, max_tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sources = [
            (str(number), folder / str(number)) for number in range(len(domains))
        ]
        for (_, path), contents in zip(sources, domains, strict=True):
            write_domain(path, contents, data)
        for _ in range(2):  # From text, then from the cache.
            found = corpus.load_windows(
                sources, TOKENIZER, CONFIG, window, max_tokens, folder
            )
            assert as_rows(found) == expected
    assert found.tokens.shape[1:] == (window,)
    assert found.names == tuple(name for name, _ in sources)
    if max_tokens is not None:
        assert found.lengths.sum() <= max_tokens


@settings(max_examples=40, deadline=None)
@given(domains=DOMAINS, data=st.data())
def test_streams_are_documents_that_come_back(domains, data):
    with tempfile.TemporaryDirectory() as name:
        sources = []
        for number, contents in enumerate(domains):
            sources.append((str(number), pathlib.Path(name, str(number))))
            write_domain(sources[-1][1], contents, data)
        found = corpus.load_streams(sources, TOKENIZER, CONFIG)
        cut = corpus.load_windows(sources, TOKENIZER, CONFIG, 8)
    for stream, contents in zip(found, domains, strict=True):
        assert [part.tolist() for part in stream.documents()] == encoded(contents)
        assert stream.tokens.dtype == np.int32
    assert [stream.name for stream in found] == list(cut.names)
    assert [stream.fingerprint for stream in found] == list(cut.fingerprints)
    again = windows.cut(
        [stream.tokens for stream in found], 8, windows.marks_of(CONFIG)
    )
    for ours, theirs in zip(again, cut[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_start_separator_and_padding_are_those_of_the_config(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [6])
    special = {"bos_token_id": 7, "eos_token_id": None}
    model = tiny_tokenizers.tiny_config(
        document_start_token_id=8, pad_token_id=9, **special
    )
    found = corpus.load_windows([("a", path)], None, model, 6)
    assert found.tokens.tolist() == [[8, 5, 8, 6, 9, 9]]
    assert model.special_tokens == (7, 8, 9)
    # Without a padding token, what fills the last window is no special token.
    model = dataclasses.replace(model, pad_token_id=None)
    [tokens] = corpus.load_windows([("a", path)], None, model, 6).tokens
    assert tokens[:4].tolist() == [8, 5, 8, 6] and model.special_tokens == (7, 8)
    model = dataclasses.replace(model, document_start_token_id=None)
    with pytest.raises(errors.UsageError, match="no token .* begins a doc") as caught:
        corpus.load_windows([("a", path)], None, model, 6)
    assert caught.value.remedy.keys() == {"document_start"}


def test_documents_of_all_domains_are_read_in_order(tmp_path):
    sources = [
        (
            name,
            tiny_tokenizers.write_lines(tmp_path / f"{name}.jsonl", [{"text": name}]),
        )
        for name in "ba"
    ]
    read = [document.content for document in corpus.read_documents(sources)]
    assert read == ["b", "a"]


@cases.each("window", [-1, 0, 1, 65])
def test_window_must_fit_the_model(tmp_path, window):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    message = f"window {window} is not between 2 and 64"
    with pytest.raises(errors.UsageError, match=message):
        load(path, window=window)


@cases.each("max_tokens", [-5, 0, 1])
def test_limit_must_leave_a_domain_something(tmp_path, max_tokens):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    with pytest.raises(errors.UsageError, match=f"max_tokens {max_tokens} leaves"):
        load(path, max_tokens=max_tokens)


def test_limit_must_leave_every_domain_something(tmp_path):
    sources = [
        (name, tiny_tokenizers.token_file(tmp_path / f"{name}.jsonl", [5]))
        for name in "abc"
    ]
    corpus.load_windows(sources, None, CONFIG, 8, 6)
    with pytest.raises(errors.UsageError, match="at least 6 tokens for 3 domains"):
        corpus.load_windows(sources, None, CONFIG, 8, 5)


@pytest.mark.fault(case=20)
def test_a_file_in_two_domains_is_refused(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.jsonl").hardlink_to(path)
    for other in (path, tmp_path / "folder"):
        with pytest.raises(errors.CorpusError, match="are the same. Every text"):
            corpus.load_windows([("a", path), ("b", other)], None, CONFIG, 8)


def test_no_corpus_is_refused():
    with pytest.raises(errors.UsageError, match="no corpus"):
        corpus.load_windows([], None, CONFIG, 8)


@pytest.mark.fault(case=20)
def test_fingerprint_follows_text_names_and_tokenizer(tmp_path):
    def fingerprints(tokenizer=None, **options):
        sources = [("a", tmp_path)]
        return corpus.load_windows(
            sources, tokenizer, CONFIG, **({"window": 8} | options)
        ).fingerprints

    tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    tiny_tokenizers.token_file(tmp_path / "b.jsonl", [6])
    seen = [fingerprints(), fingerprints(TOKENIZER)]
    (tmp_path / "README.md").write_text("no text")
    assert fingerprints(window=4, max_tokens=2) == seen[0]
    (tmp_path / "a.jsonl").rename(tmp_path / "c.jsonl")
    seen.append(fingerprints())
    (tmp_path / "c.jsonl").rename(tmp_path / "d.jsonl")
    seen.append(fingerprints())
    tiny_tokenizers.token_file(tmp_path / "b.jsonl", [7])
    seen.append(fingerprints())
    assert len(set(seen)) == 5

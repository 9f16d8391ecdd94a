"""Text to windows, against a reimplementation that holds everything in memory."""

import gzip
import json
import pathlib
import tempfile
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxneurons import errors
from jaxneurons.text import corpus, documents, streams
from tests.support import tiny_tokenizers

BOS, PAD = 2, 1


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tiny_tokenizers.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return corpus.load_tokenizer(folder, tiny_tokenizers.CONFIG)


def load(path, tokenizer=None, window=8, max_tokens=None, cache_directory=None):
    sources = [("a", path)]
    return corpus.load_windows(
        sources, tokenizer, tiny_tokenizers.CONFIG, window, max_tokens, cache_directory
    )


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


def as_rows(windows):
    rows = []
    for tokens, length, domain in zip(
        windows.tokens.tolist(), windows.lengths, windows.domains, strict=True
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


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.sampled_from(["</s>", "a</s><pad> <unk>", "<s>"]),
)
TOKENS = st.lists(
    st.sampled_from([0, *range(3, tiny_tokenizers.CONFIG.vocab_size)]), max_size=30
)
DOMAIN = st.lists(TEXT | TOKENS, min_size=1, max_size=8).filter(any)


@settings(max_examples=60, deadline=None)
@given(
    domains=st.lists(DOMAIN, min_size=1, max_size=4),
    window=st.integers(2, 12),
    max_tokens=st.none() | st.integers(8, 150),
    batch_size=st.integers(1, 40),
    data=st.data(),
)
def test_windows_are_those_of_the_definition(
    tokenizer, domains, window, max_tokens, batch_size, data
):
    encoded = [
        [
            tiny_tokenizers.encode_bytes(item) if isinstance(item, str) else item
            for item in contents
        ]
        for contents in domains
    ]
    expected = naive_windows(encoded, window, max_tokens)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(streams, "_BATCH_SIZE", batch_size),
    ):
        sources = []
        for number, contents in enumerate(domains):
            sources.append((str(number), pathlib.Path(folder, str(number))))
            write_domain(sources[-1][1], contents, data)
        for _ in range(2):  # From text, then from the cache.
            windows = corpus.load_windows(
                sources,
                tokenizer,
                tiny_tokenizers.CONFIG,
                window,
                max_tokens,
                pathlib.Path(folder),
            )
            assert as_rows(windows) == expected
    assert windows.tokens.shape[1:] == (window,)
    assert windows.names == tuple(name for name, _ in sources)
    if max_tokens is not None:
        assert windows.lengths.sum() <= max_tokens


def test_sources_keep_their_order(tmp_path):
    values = [f"b={tmp_path}", f"a b={tmp_path}"]
    assert corpus.parse_sources(values) == [("b", tmp_path), ("a b", tmp_path)]
    (tmp_path / "x=y").mkdir()
    assert corpus.parse_sources([f"a={tmp_path}/x=y"]) == [("a", tmp_path / "x=y")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["text"], "wanted NAME=PATH"),
        (["=."], "wanted NAME=PATH"),
        (["a="], "wanted NAME=PATH"),
        (["a/b=."], "a name with '/'"),
        (["a\n=."], "a character that does not print"),
        (["a\ud800=."], "a character that does not print"),
        (["a=.", "b=.", "a=/"], "'a' is given twice"),
    ],
)
def test_wrong_sources_are_refused(values, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        corpus.parse_sources(values)
    assert "\n" not in str(caught.value)


def test_source_of_nothing_is_refused(tmp_path):
    with pytest.raises(errors.CorpusError, match="no such file or directory"):
        corpus.parse_sources([f"a={tmp_path}/absent"])


@pytest.mark.fault(case=19)
@pytest.mark.parametrize("special", [BOS, PAD])
def test_ready_special_tokens_are_refused(tmp_path, special):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [5, special])
    with pytest.raises(errors.CorpusError, match=f":2: ready special token {special}"):
        load(path)


@pytest.mark.fault(case=19)
@pytest.mark.parametrize(
    "token", [-1, tiny_tokenizers.CONFIG.vocab_size, 2**31, 10**4000]
)
def test_ready_tokens_outside_the_vocabulary_are_refused(tmp_path, token):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [5, token, 6])
    message = rf":2: token {str(token)[:20]}, wanted 0 to 263 \(vocab_size 264\)"
    with pytest.raises(errors.CorpusError, match=message):
        load(path)


@pytest.mark.fault(case=19)
def test_text_that_becomes_special_is_refused(tmp_path):
    # Here "</s>" is an added token like any other, which text may well contain.
    folder = tiny_tokenizers.save_tokenizer(
        tmp_path / "tokenizer", special=(), extra=("</s>",)
    )
    tokenizer = corpus.load_tokenizer(folder, tiny_tokenizers.CONFIG)
    path = tiny_tokenizers.write_lines(
        tmp_path / "a.jsonl", [{"text": "ab"}, {"text": "a</s>"}]
    )
    with pytest.raises(errors.CorpusError, match=r":2: text that .* special token 2"):
        load(path, tokenizer)


def test_text_wants_a_tokenizer(tmp_path):
    path = tiny_tokenizers.write_lines(
        tmp_path / "a.jsonl", [{"tokens": [5]}, {"text": "b"}]
    )
    with pytest.raises(errors.TokenizerError, match=":2: text, but the model has no"):
        load(path)


@pytest.mark.parametrize("count", [1, 3])
def test_domain_without_a_token_is_refused(tmp_path, tokenizer, count):
    tiny_tokenizers.write_lines(tmp_path / "a.jsonl", [{"text": ""}] * count)
    with pytest.raises(errors.CorpusError, match=r"a\.jsonl: no text in any document"):
        load(tmp_path, tokenizer)
    (tmp_path / "b.jsonl").write_text('{"tokens": []}')
    with pytest.raises(errors.CorpusError, match=r"a\.jsonl and 1 more files: no text"):
        load(tmp_path, tokenizer)


def test_empty_document_among_others_is_one(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [], [6], [])
    assert as_rows(load(path)) == [(0, [BOS, 5, BOS, BOS, 6, BOS])]


def test_empty_file_among_others_is_refused(tmp_path):
    tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(errors.CorpusError, match=r"b\.jsonl: empty"):
        load(tmp_path)


@pytest.mark.parametrize("window", [-1, 0, 1, 65])
def test_window_must_fit_the_model(tmp_path, window):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    with pytest.raises(errors.UsageError, match=f"window {window}: wanted 2 to 64"):
        load(path, window=window)


@pytest.mark.parametrize("max_tokens", [-5, 0, 1])
def test_limit_must_leave_a_domain_something(tmp_path, max_tokens):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    with pytest.raises(errors.UsageError, match=f"max_tokens {max_tokens}: leaves"):
        load(path, max_tokens=max_tokens)


def test_limit_must_leave_every_domain_something(tmp_path):
    sources = [
        (name, tiny_tokenizers.token_file(tmp_path / f"{name}.jsonl", [5]))
        for name in "abc"
    ]
    corpus.load_windows(sources, None, tiny_tokenizers.CONFIG, 8, 6)
    with pytest.raises(errors.UsageError, match="at least 2 .* each of 3 domains"):
        corpus.load_windows(sources, None, tiny_tokenizers.CONFIG, 8, 5)


@pytest.mark.fault(case=20)
def test_a_file_in_two_domains_is_refused(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.jsonl").hardlink_to(path)
    for other in (path, tmp_path / "folder"):
        with pytest.raises(errors.CorpusError, match="are the same, wanted every"):
            corpus.load_windows(
                [("a", path), ("b", other)], None, tiny_tokenizers.CONFIG, 8
            )


def test_no_corpus_is_refused():
    with pytest.raises(errors.UsageError, match="no corpus"):
        corpus.load_windows([], None, tiny_tokenizers.CONFIG, 8)


@pytest.mark.fault(case=17)
def test_reading_stops_at_the_limit(tmp_path, monkeypatch):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", *[[5] * 10] * 1000)
    monkeypatch.setattr(streams, "_BATCH_SIZE", 10)
    places = []
    read_documents = documents.read_documents

    def recording(file):
        for document in read_documents(file):
            places.append(document.place)
            yield document

    monkeypatch.setattr(documents, "read_documents", recording)
    assert load(path, max_tokens=100).lengths.sum() == 100
    assert len(places) == 9

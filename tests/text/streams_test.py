"""What is in a domain's stream and what is refused; text is read no further than needed, and once."""

import dataclasses

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.text import corpus, sources, streams, windows
from tests.support import cases, tiny_tokenizers

CONFIG = tiny_tokenizers.CONFIG
SPECIAL = [2, 1]


class Encoder:
    """A tokenizer that remembers what it was given, and can do something first."""

    def __init__(self, first=lambda: None):
        self.texts = []
        self._first = first

    def __call__(self, texts):
        self._first()
        self.texts += texts
        return list(map(tiny_tokenizers.encode_bytes, texts))


def open_text(path):
    return sources.open_text(sources.make_source(path), "a")


def read(path, encode=None, limit=None, folder=None, config=CONFIG, **options):
    """The stream, or the beginning of it that makes `limit` tokens of windows of 8."""
    domain = streams.Domain(open_text(path), encode, config, folder)
    wanted = limit and windows.Limit(limit, 8)
    [stream] = streams.read([domain], wanted, **options)
    return stream.tokens.tolist()


def write_texts(path, *texts):
    return tiny_tokenizers.write_lines(path, [{"text": text} for text in texts])


def test_documents_are_joined_by_the_separator(tmp_path):
    tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [], [6, 7])
    tiny_tokenizers.token_file(tmp_path / "b.jsonl", [8], [])
    assert read(tmp_path) == [5, 2, 2, 6, 7, 2, 8, 2]


def test_joined_documents_split_again():
    for split in ([], [[]], [[], []], [[5, 6], [], [7]]):
        arrays = [np.array(document, np.int32) for document in split]
        stream = streams.join_documents(arrays, 2)
        again = [part.tolist() for part in streams.split_documents(stream, 2)]
        assert again == (split or [[]])
        assert stream.dtype == np.int32


@cases.each("batch_size", [1, 7, 100])
def test_batches_do_not_matter(tmp_path, batch_size):
    lines = [{"text": "abc"}, {"tokens": [5]}, {"text": ""}, {"text": "é" * 20}] * 3
    path = tiny_tokenizers.write_lines(tmp_path / "a.jsonl", lines)
    for limit in (None, 2, 20, 50):
        whole = read(path, Encoder(), limit)
        assert read(path, Encoder(), limit, batch_size=batch_size) == whole


@pytest.mark.fault(case=17)
def test_reading_stops_at_the_limit(tmp_path):
    path = write_texts(tmp_path / "a.jsonl", *["a" * 10] * 8)
    path.write_text(path.read_text() + "what is read of this is an error")
    assert len(read(path, Encoder(), 80, batch_size=10)) == 70
    with pytest.raises(errors.CorpusError, match=":9: not valid JSON"):
        read(path, Encoder(), 100, batch_size=10)


def test_what_a_domain_leaves_is_read_of_the_others(tmp_path):
    texts = (["a" * 10] * 20, ["b"])
    encoders = [Encoder(), Encoder()]
    domains = []
    for number, (encode, part) in enumerate(zip(encoders, texts, strict=True)):
        path = write_texts(tmp_path / f"{number}.jsonl", *part)
        domains.append(streams.Domain(open_text(path), encode, CONFIG))
    first, second = streams.read(domains, windows.Limit(66, 8), batch_size=10)
    assert (len(first.tokens), len(second.tokens)) == (56, 1)
    # Once each, and not to the end.
    assert (len(encoders[0].texts), len(encoders[1].texts)) == (6, 1)


@pytest.mark.fault(case=19)
@cases.each("special", SPECIAL)
def test_ready_special_tokens_are_refused(tmp_path, special):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [5, special])
    with pytest.raises(
        errors.CorpusError, match=f":2: there is special token {special}"
    ):
        read(path)


@pytest.mark.fault(case=19)
@cases.each("token", [-1, CONFIG.vocab_size, 2**31, 10**4000])
def test_ready_tokens_outside_the_vocabulary_are_refused(tmp_path, token):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5], [5, token, 6])
    message = rf":2: token {str(token)[:20]} is not one of the model's, .* 0 to 263$"
    with pytest.raises(errors.CorpusError, match=message):
        read(path)


@pytest.mark.fault(case=19)
def test_text_that_becomes_special_is_refused(tmp_path):
    # Here "</s>" is an added token like any other, which text may well contain.
    tokenizer = tiny_tokenizers.load(special=(), extra=("</s>",))
    path = write_texts(tmp_path / "a.jsonl", "ab", "a</s>")
    with pytest.raises(
        errors.CorpusError, match=r":2: the tokenizer .* token 2, which"
    ):
        read(path, tokenizer.encode)


def test_text_needs_a_tokenizer(tmp_path):
    lines = [{"tokens": [5]}, {"text": "b"}]
    path = tiny_tokenizers.write_lines(tmp_path / "a.jsonl", lines)
    message = r':2: the model has no tokenizer that .*\{"tokens": \[\.\.\.\]\}'
    with pytest.raises(errors.TokenizerError, match=message):
        read(path)


@cases.each("count", [1, 3])
def test_domain_without_a_token_is_refused(tmp_path, count):
    write_texts(tmp_path / "a.jsonl", *[""] * count)
    with pytest.raises(errors.CorpusError, match=r"a\.jsonl: no document has any text"):
        read(tmp_path, Encoder())
    (tmp_path / "b.jsonl").write_text('{"tokens": []}')
    with pytest.raises(errors.CorpusError, match=r"a\.jsonl and 1 more files: no doc"):
        read(tmp_path, Encoder())


def test_empty_file_among_others_is_refused(tmp_path):
    tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(errors.CorpusError, match=r"b\.jsonl has no document"):
        read(tmp_path)


def test_text_is_tokenized_once(tmp_path):
    path = write_texts(tmp_path / "a.jsonl", "a" * 45, "b" * 45)
    folder, encode = tmp_path / "cache", Encoder()
    whole = read(path, encode, folder=folder)
    assert len(encode.texts) == 2
    assert read(path, encode, folder=folder) == whole
    assert read(path, encode, 20, folder) == whole[:17]
    assert len(encode.texts) == 2


def test_beginning_is_tokenized_once(tmp_path):
    path = write_texts(tmp_path / "a.jsonl", "a" * 45)
    folder, encode = tmp_path / "cache", Encoder()
    begun = read(path, encode, 20, folder)
    assert read(path, encode, 20, folder) == begun
    assert len(encode.texts) == 1
    # More than the cached beginning needs the text again.
    assert len(read(path, encode, folder=folder)) == 45
    assert len(encode.texts) == 2


@pytest.mark.fault(case=20)
def test_damaged_cache_is_made_anew(tmp_path):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", range(5, 50))
    whole = read(path, folder=tmp_path / "cache")
    [entry] = (tmp_path / "cache").iterdir()
    sound = entry.read_bytes()
    entry.write_bytes(b"\7" + sound[1:])
    assert read(path, folder=tmp_path / "cache") == whole
    assert entry.read_bytes() == sound


def test_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [5])
    assert read(path, folder=path) == [5]
    assert "tokens are not cached" in caplog.text


@pytest.mark.fault(case=20)
def test_text_that_changes_while_it_is_read_is_refused(tmp_path):
    path = write_texts(tmp_path / "a.jsonl", "abc")
    encode = Encoder(lambda: write_texts(path, "abd"))
    with pytest.raises(errors.CorpusError, match="changed while it was read"):
        read(path, encode, folder=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@cases.each(
    "change",
    [{"vocab_size": 50}, {"document_start_token_id": 3}, {"pad_token_id": 100}],
)
def test_another_model_is_not_served_from_the_cache(tmp_path, change):
    path = tiny_tokenizers.token_file(tmp_path / "a.jsonl", [100], [5])
    other = dataclasses.replace(CONFIG, **change)
    args = ([("a", path)], None)
    [before] = corpus.load_streams(*args, CONFIG, cache_directory=tmp_path)
    try:
        [after] = corpus.load_streams(*args, other, cache_directory=tmp_path)
        assert after.tokens.tolist() == [100, 3, 5]
    except errors.CorpusError as error:
        assert "token 100" in str(error)
    assert before.tokens.tolist() == [100, 2, 5]

"""A `tokenizer.json` in: ids, pieces, and the text that a person reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from jaxneurons import errors
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import cases, tiny_tokenizers

TINY = tiny_tokenizers.load(extra=("αβ", "ÿÿ"))


@pytest.mark.fault(case=19)
def test_ids_are_those_of_the_definition():
    texts = ["Hello world!", "", "</s>", "<pad>é\n"]
    assert TINY.encode(texts) == list(map(tiny_tokenizers.encode_bytes, texts))
    assert TINY.encode(["αβ!"]) == [[260, 4]]


def test_entries_are_spelled_as_the_vocabulary_does():
    assert len(TINY) == tiny_tokenizers.SIZE + 2
    assert [TINY.token_text(token) for token in (2, 4, 260)] == ["</s>", "!", "αβ"]
    [[space]] = TINY.encode([" "])
    assert TINY.token_text(space) == "Ġ"
    assert TINY.token_text(263) == "<id 263>"


def read_by_person(text):
    return "".join(TINY.decode_token(token) for token in TINY.encode([text])[0])


@given(st.text(st.characters(max_codepoint=0x7F, exclude_characters="<")))
def test_single_bytes_are_read_as_the_text_they_are(text):
    assert read_by_person(text) == text


def test_what_is_no_character_alone_is_read_as_bytes():
    assert read_by_person("a€\n") == "a\\xe2\\x82\\xac\n"


@cases.each("token, text", [(2, "</s>"), (260, "αβ"), (261, "ÿÿ"), (263, "<id 263>")])
def test_added_and_absent_entries_are_read_as_they_are_spelled(token, text):
    assert TINY.decode_token(token) == text


def test_merged_pieces_are_read_whole():
    vocabulary = {"Ġ": 0, "t": 1, "Ġt": 2, "Ã": 3, "©": 4, "Ã©": 5, "日": 6}
    backend = Backend(models.BPE(vocabulary, [("Ġ", "t"), ("Ã", "©")]))
    backend.decoder = decoders.ByteLevel()
    merged = Tokenizer.from_json(backend.to_str().encode(), "merged")
    read = [merged.decode_token(token) for token in range(7)]
    assert read == [" ", "t", " t", "\\xc3", "\\xa9", "é", "日"]
    assert merged.decode([2, 3, 4, 6, 5, 3, 9]) == " té日é\\xc3<id 9>"


def test_other_decoders_are_asked():
    backend = Backend(models.BPE({"a</w>": 0}, []))
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    assert Tokenizer.from_json(backend.to_str().encode(), "x").decode_token(0) == "a"


def test_digest_is_that_of_the_file():
    content = tiny_tokenizers.tokenizer_json()
    same, other = Tokenizer.from_json(content, "a"), Tokenizer.from_json(content, "b")
    assert same.digest == other.digest != TINY.digest


@pytest.mark.fault(case=19)
@cases.each("content", [b"", b"{", b"{}", b"\xff", b"[" * 10**5])
def test_what_is_no_tokenizer_is_one_line_that_names_it(content):
    with pytest.raises(errors.TokenizerError, match="^/a/store: tokenizers [^\n]*$"):
        Tokenizer.from_json(content, "/a/store")


def test_fields_of_the_future_are_one_line():
    entries = json.loads(tiny_tokenizers.tokenizer_json())
    entries["model"]["type"] = "Telepathy"
    with pytest.raises(errors.TokenizerError, match="cannot read this file"):
        Tokenizer.from_json(json.dumps(entries).encode(), "/a/store")

"""A trained tokenizer: accepted by the corpus reader and transformers, with OPT's special tokens."""

import json

import pytest

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.training import tokenizer
from tests.support import training_text

CONFIG = Config(
    vocab_size=300,
    hidden_size=8,
    ffn_dim=8,
    num_hidden_layers=1,
    num_attention_heads=1,
)


@pytest.fixture
def trained(tmp_path):
    """The content of a trained tokenizer, which lies in `tmp_path / "tokenizer"` too."""
    path = training_text.write_documents(tmp_path / "text.jsonl")
    content = tokenizer.train([("text", path)], 300)
    tokenizer.write(tmp_path / "tokenizer", content, CONFIG)
    return content


def test_reads_back_with_opts_special_tokens(trained):
    found = Tokenizer.from_json(trained, "trained")
    assert len(found) == 300
    assert [found.token_text(i) for i in range(4)] == ["<s>", "<pad>", "</s>", "<unk>"]
    (ids,) = found.encode(["abcabc</s>é"])
    assert not {0, 1, 2, 3}.intersection(ids)
    assert found.backend.decode(ids) == "abcabc</s>é"


def test_transformers_loads_it(trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    found = transformers.AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert found("hello").input_ids[0] == 2
    assert (found.bos_token_id, found.eos_token_id, found.pad_token_id) == (2, 2, 1)


def test_it_may_be_given_to_the_next_run(trained, tmp_path):
    assert tokenizer.read(tmp_path / "tokenizer", CONFIG) == trained


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(errors.TokenizerError, match=f"^{tmp_path} has no tokenizer. P"):
        tokenizer.read(tmp_path, CONFIG)


def test_same_text_gives_the_same_tokenizer(trained, tmp_path):
    assert tokenizer.train([("text", tmp_path / "text.jsonl")], 300) == trained


def test_too_few_entries_are_refused():
    with pytest.raises(errors.UsageError, match="vocab_size is 259, but .* 260"):
        tokenizer.train([], 259)


def test_ready_tokens_are_refused(tmp_path):
    path = tmp_path / "ready.jsonl"
    path.write_text(json.dumps({"tokens": [5, 6]}))
    with pytest.raises(errors.CorpusError, match="ready.jsonl:1: .* are ready tokens"):
        tokenizer.train([("ready", path)], 300)

"""Tokenizers that fit their model, and those that do not."""

import json
import shutil

import pytest
import transformers

from jaxneurons import config, errors
from jaxneurons.text import corpus
from tests.support import helpers, tiny_tokenizers


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tiny_tokenizers.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return corpus.load_tokenizer(folder, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=19)
def test_tiny_tokenizer(tokenizer):
    assert len(tokenizer) == tiny_tokenizers.SIZE
    assert tokenizer.token_text(4) == "!"
    assert tokenizer.token_text(tiny_tokenizers.CONFIG.vocab_size - 1) == "<id 263>"
    texts = ["Hello world!", "", "</s>", "<pad>é\n"]
    assert tokenizer.encode(texts) == list(map(tiny_tokenizers.encode_bytes, texts))


@pytest.mark.fault(case=19)
def test_opt_tokenizer():
    folder = helpers.shared_path("tokenizers", "opt")
    tokenizer = corpus.load_tokenizer(folder, config.PUBLISHED["opt-125m"])
    assert len(tokenizer) == 50265
    assert sorted(tokenizer.vocabulary) == list(range(50265))
    assert tokenizer.encode(["Hello world!"]) == [[31414, 232, 328]]
    [literal] = tokenizer.encode(["</s>"])
    assert [tokenizer.token_text(token) for token in literal] == ["</", "s", ">"]
    assert "Ġtitle" in tokenizer.vocabulary.values()


def test_opt_mini_tokenizer():
    folder = helpers.shared_path("models", "opt-mini")
    tokenizer = corpus.load_tokenizer(
        folder, tiny_tokenizers.tiny_config(vocab_size=4096)
    )
    assert len(tokenizer) == 4088
    assert tokenizer.encode(["Hello world!"]) == [[43, 498, 82, 1465, 4]]
    assert not {1, 2} & set(tokenizer.encode(["a</s><pad>"])[0])


@pytest.mark.fault(case=19)
@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        ((), "adds no BOS: 'Hello world!' begins with .*wanted exactly one 2"),
        (("</s>", "</s>"), r"adds two BOS: .* begins with \[2, 2, 43\]"),
    ],
)
def test_wrong_beginning_is_refused(tmp_path, beginning, message):
    tiny_tokenizers.save_tokenizer(tmp_path, beginning)
    with pytest.raises(errors.TokenizerError, match=message):
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=19)
def test_ids_beyond_the_vocabulary_are_refused(tmp_path):
    tiny_tokenizers.save_tokenizer(tmp_path, extra=tuple("αβγδε"))
    message = r"token 264 \('ε'\) of 265 .*vocab_size 264"
    with pytest.raises(errors.TokenizerError, match=message):
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)


@pytest.mark.parametrize("missing", ["tokenizer.json", "everything", "folder"])
def test_missing_tokenizer_is_refused(tmp_path, missing):
    folder = tmp_path / "tokenizer"
    if missing != "folder":
        tiny_tokenizers.save_tokenizer(folder)
        (folder / "tokenizer.json").unlink()
    if missing == "everything":
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(errors.TokenizerError, match="no tokenizer here, wanted"):
        corpus.load_tokenizer(folder, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=19)
@pytest.mark.parametrize("content", ["", "{", "{}", "[" * 10**5, '{"model": null}'])
def test_damaged_tokenizer_is_refused(tmp_path, content):
    tiny_tokenizers.save_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(errors.TokenizerError, match="not a tokenizer that") as caught:
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)
    assert "\n" not in str(caught.value)


AWKWARD = [
    "",
    " ",
    "  two spaces before, \t tab and\r\n line",
    "a</s>b<pad></s> </s>",
    "<s><unk><mask>",
    "emoji 👩‍👩‍👧 🏳️‍🌈 and 中文字 かな 한글",
    "NUL \0 and \x7f \x80 \ufeff \u2028 \U0010ffff",
    "e\u0301 is é, ﬁ, İstanbul, ｆｕｌｌ",
    "it's 3.14159 don't WE'LL   ",
]


@pytest.mark.fault(case=19)
def test_opt_tokenizer_is_one_whichever_files_it_is_read_from(tmp_path):
    folder = helpers.shared_path("tokenizers", "opt")
    model = config.PUBLISHED["opt-125m"]
    slow = corpus.load_tokenizer(folder, model)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / name, tmp_path)
    fast = corpus.load_tokenizer(tmp_path, model)
    assert fast.vocabulary == slow.vocabulary
    encoded = slow.encode(AWKWARD)
    assert fast.encode(AWKWARD) == encoded
    assert all(not set(ids) & {0, 1, 2} for ids in encoded)


def write_both_kinds(folder):
    """A tokenizer.json, and a vocab.json and a merges.txt that agree with it."""
    tiny_tokenizers.save_tokenizer(folder)
    fast = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = fast["model"]["vocab"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return vocabulary


@pytest.mark.fault(case=19)
def test_files_that_agree_are_one_tokenizer(tmp_path):
    write_both_kinds(tmp_path)
    corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)
    # In tokenizer.json an added token has its own list.
    tiny_tokenizers.save_tokenizer(tmp_path, extra=("αβ",))
    tokenizer = corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)
    assert tokenizer.encode(["αβ"]) == [[260]]


def _swap(vocabulary):
    vocabulary["!"], vocabulary["#"] = vocabulary["#"], vocabulary["!"]


def _add(vocabulary):
    vocabulary["αβ"] = 262


def _drop(vocabulary):
    del vocabulary["!"]


@pytest.mark.fault(case=19)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swap, "disagree on 2 tokens, such as '!': 4 and 6"),
        (_add, "disagree on 1 tokens, such as 'αβ': none and 262"),
        (_drop, "disagree on 1 tokens, such as '!': 4 and none"),
    ],
)
def test_vocabularies_that_disagree_are_refused(tmp_path, change, message):
    vocabulary = write_both_kinds(tmp_path)
    change(vocabulary)
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(errors.TokenizerError, match=message):
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=19)
def test_merges_that_disagree_are_refused(tmp_path):
    write_both_kinds(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n! #\n")
    with pytest.raises(errors.TokenizerError, match="rule 1 is None in .* '! #' in"):
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=19)
@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 10**5, b"[]"])
def test_a_damaged_vocabulary_beside_is_refused(tmp_path, content):
    write_both_kinds(tmp_path)
    (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(errors.TokenizerError, match=r"^[^\n]*vocab.json: [^\n]*$"):
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)


@pytest.mark.fault(case=11)
@pytest.mark.fault(case=19)
@pytest.mark.parametrize("place", ["tokenizer_config.json", "config.json"])
def test_code_in_the_directory_never_runs(tmp_path, place):
    tiny_tokenizers.save_tokenizer(tmp_path)
    auto_map = {"AutoTokenizer": ["canary.T", "canary.T"], "AutoConfig": "canary.C"}
    settings = {"auto_map": auto_map, "model_type": "canary"}
    if place == "tokenizer_config.json":
        settings["tokenizer_class"] = "T"
    (tmp_path / place).write_text(json.dumps(settings))
    song = tmp_path / "song"
    (tmp_path / "canary.py").write_text(
        f"open({str(song)!r}, 'w')\nclass T: pass\nclass C: pass\n"
    )
    try:
        corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)
    except errors.TokenizerError:
        assert place == "tokenizer_config.json"
    assert not song.exists()


def test_limits_in_the_tokenizer_file_do_not_shorten_text(tmp_path):
    tiny_tokenizers.save_tokenizer(tmp_path)
    settings = json.loads((tmp_path / "tokenizer.json").read_text())
    settings["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    tokenizer = corpus.load_tokenizer(tmp_path, tiny_tokenizers.CONFIG)
    assert len(tokenizer.encode(["a longer text"])[0]) == 13


def test_digest_is_that_of_the_files(tmp_path, tokenizer):
    same = tiny_tokenizers.save_tokenizer(tmp_path / "same")
    assert (
        corpus.load_tokenizer(same, tiny_tokenizers.CONFIG).digest == tokenizer.digest
    )
    other = tiny_tokenizers.save_tokenizer(tmp_path / "other", extra=("α",))
    assert (
        corpus.load_tokenizer(other, tiny_tokenizers.CONFIG).digest != tokenizer.digest
    )
    (same / "README.md").write_text("not part of a tokenizer")
    assert (
        corpus.load_tokenizer(same, tiny_tokenizers.CONFIG).digest == tokenizer.digest
    )
    (same / "added_tokens.json").write_text("{}")
    assert (
        corpus.load_tokenizer(same, tiny_tokenizers.CONFIG).digest != tokenizer.digest
    )

"""Tokenizers of any published form become one file, with the ids that transformers gives; others are refused."""

import json
import os
import shutil

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from convert import tokenizer
from jaxneurons import config, errors
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import cases, helpers, tiny_tokenizers

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


def normalise(folder, model=tiny_tokenizers.CONFIG):
    return tokenizer.normalise(folder, model)


def load(folder, model=tiny_tokenizers.CONFIG):
    return Tokenizer.from_json(normalise(folder, model), "here")


def theirs(folder, texts):
    """What transformers says, with no special token before, in or after a text."""
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    options = {"add_special_tokens": False, "split_special_tokens": True}
    return [loaded(text, **options).input_ids for text in texts]


@pytest.mark.fault(case=19)
def test_opt_in_two_files_has_the_ids_of_transformers():
    folder = helpers.shared_path("tokenizers", "opt")
    found = load(folder, config.PUBLISHED["opt-125m"])
    assert sorted(found.vocabulary) == list(range(50265))
    assert found.encode(["Hello world!"]) == [[31414, 232, 328]]
    assert [found.decode_token(token) for token in (31414, 232, 328)] == [
        "Hello",
        " world",
        "!",
    ]
    [literal] = found.encode(["</s>"])
    assert [found.token_text(token) for token in literal] == ["</", "s", ">"]
    assert found.encode(AWKWARD) == theirs(folder, AWKWARD)
    assert all(not set(ids) & {0, 1, 2} for ids in found.encode(AWKWARD))


@pytest.mark.campaign
@pytest.mark.fault(case=19)
def test_opt_is_one_tokenizer_whichever_files_it_is_read_from(tmp_path):
    folder = helpers.shared_path("tokenizers", "opt")
    model = config.PUBLISHED["opt-125m"]
    two_files = load(folder, model)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / name, tmp_path)
    assert load(tmp_path, model).digest == two_files.digest
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / name, bare)
    found = load(bare, model)
    assert found.encode(AWKWARD) == two_files.encode(AWKWARD)
    assert found.vocabulary == two_files.vocabulary


def test_opt_mini_has_the_ids_of_transformers():
    folder = helpers.shared_path("models", "opt-mini")
    found = load(folder, tiny_tokenizers.tiny_config(vocab_size=4096))
    assert len(found) == 4088
    assert found.encode(["Hello world!"]) == [[43, 498, 82, 1465, 4]]
    assert found.encode(AWKWARD) == theirs(folder, AWKWARD)


def test_what_was_normalised_stays_as_it_is(tmp_path):
    content = normalise(tiny_tokenizers.save_tokenizer(tmp_path, extra=("αβ",)))
    (tmp_path / "tokenizer.json").write_bytes(content)
    assert normalise(tmp_path) == content
    (tmp_path / "tokenizer_config.json").unlink()
    assert normalise(tmp_path) == content


def test_steps_of_a_whole_file_are_kept(tmp_path):
    # Neither OPT's nor GPT-2's: digits one by one, and text in NFC, as Galactica has it.
    vocabulary = {c: i for i, c in enumerate((*tiny_tokenizers.ALPHABET, "12"))}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, [("1", "2")]))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.save(str(tmp_path / "tokenizer.json"))
    found = load(tmp_path)
    read = [found.token_text(t) for t in found.encode(["12 e\u0301"])[0]]
    assert read == ["1", "2", "Ġ", "Ã", "©"]


def test_no_file_is_read_but_those_that_are_converted(tmp_path):
    # transformers would take a versioned file, one that the settings name, and other libraries' vocabularies.
    write_both_kinds(tmp_path)
    plain = normalise(tmp_path)
    other = tiny_tokenizers.tokenizer_json(extra=("αβ",))
    (tmp_path / "tokenizer.4.0.0.json").write_bytes(other)
    named = {
        "fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.0.0.json"],
        "tokenizer_file": str(tmp_path / "tokenizer.4.0.0.json"),
        "vocab_file": str(tmp_path / "tokenizer.model"),
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    assert normalise(tmp_path) == plain
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").unlink()
    two_files = normalise(tmp_path)
    (tmp_path / "tokenizer.model").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    assert normalise(tmp_path) == two_files


def change_file(folder, change):
    path = folder / "tokenizer.json"
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


def _truncate(entries):
    entries["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }


def _pad(entries):
    entries["padding"] = {
        "strategy": {"Fixed": 20},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 1,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }


def _drop_out(entries):
    entries["model"]["dropout"] = 0.9
    entries["model"]["merges"] = [["a", "a"]]
    entries["model"]["vocab"]["aa"] = 260


@cases.each("change", [_truncate, _pad, _drop_out])
def test_nothing_shortens_pads_or_varies_a_text(tmp_path, change):
    change_file(tiny_tokenizers.save_tokenizer(tmp_path), change)
    found = load(tmp_path)
    encoded = found.encode(["a longer text aaaa"] * 50)
    assert all(ids == encoded[0] for ids in encoded)
    assert "".join(map(found.decode_token, encoded[0])) == "a longer text aaaa"


@pytest.mark.fault(case=19)
@cases.each("beginning", [(), ("</s>",)])
def test_the_document_start_or_nothing_may_come_before_a_text(tmp_path, beginning):
    tiny_tokenizers.save_tokenizer(tmp_path, beginning=beginning)
    assert load(tmp_path).encode(["!"]) == [[4]]


@pytest.mark.fault(case=19)
@cases.each(
    "added", ["</s> </s> $A", "<s> $A", "<s> </s> $A", "$A </s>", "</s> $A </s>"]
)
def test_anything_else_around_a_text_is_refused(tmp_path, added):
    path = tiny_tokenizers.save_tokenizer(tmp_path) / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.post_processor = processors.TemplateProcessing(
        single=added, special_tokens=[("</s>", 2), ("<s>", 0)]
    )
    backend.save(str(path))
    message = f"^{tmp_path}: the tokenizer turns 'Hello world!' into .*this model needs"
    with pytest.raises(errors.TokenizerError, match=message):
        normalise(tmp_path)
    # What the message advises helps.
    change_file(tmp_path, lambda entries: entries.update(post_processor=None))
    assert load(tmp_path).encode(["!"]) == [[4]]


@pytest.mark.fault(case=19)
def test_anything_else_around_a_text_is_refused_of_two_files_too(tmp_path):
    write_both_kinds(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    settings = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(errors.TokenizerError, match=r"into \[0, 43, .*add_bos_token"):
        normalise(tmp_path)
    settings["add_bos_token"] = False
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load(tmp_path).encode(["!"]) == [[4]]


@pytest.mark.fault(case=19)
def test_ids_beyond_the_embedding_are_refused(tmp_path):
    tiny_tokenizers.save_tokenizer(tmp_path, extra=tuple("αβγδε"))
    message = rf"^{tmp_path}: token 264 \('ε'\) has no embedding: .* is 264\."
    with pytest.raises(errors.TokenizerError, match=message):
        normalise(tmp_path)


def test_special_tokens_beyond_the_embedding_are_left_out(tmp_path):
    # transformers adds "<|endoftext|>" to a byte-level vocabulary that lacks it.
    vocabulary = {c: i for i, c in enumerate(tiny_tokenizers.ALPHABET)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    found = load(tmp_path, tiny_tokenizers.tiny_config(vocab_size=256))
    assert sorted(found.vocabulary) == list(range(256))
    assert found.encode(["!"]) == [[0]]


def test_a_folder_may_have_no_tokenizer(tmp_path):
    assert normalise(tmp_path) is None
    assert normalise(tmp_path / "absent") is None
    # These two name no ids.
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "special_tokens_map.json").write_text("{}")
    assert normalise(tmp_path) is None


@cases.each(
    "found, missing", [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")]
)
def test_half_a_tokenizer_is_refused(tmp_path, found, missing):
    (tmp_path / found).write_text("{}")
    message = f"^{tmp_path} has a {found} but no {missing}"
    with pytest.raises(errors.TokenizerError, match=message):
        normalise(tmp_path)


def test_files_that_are_none_are_all_named(tmp_path):
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "vocab.json").symlink_to("nowhere")
    (tmp_path / "merges.txt").mkdir()
    os.mkfifo(tmp_path / "added_tokens.json")
    with pytest.raises(errors.CheckpointError) as caught:
        normalise(tmp_path)
    for said in (
        "tokenizer.json is empty",
        "vocab.json is missing",
        "merges.txt is a directory",
        "added_tokens.json is not a regular file",
    ):
        assert said in str(caught.value)


@pytest.mark.fault(case=19)
@cases.each(
    "name, content, words",
    [
        ("tokenizer.json", "{", "/tokenizer.json: not valid JSON"),
        ("tokenizer.json", "[" * 10**5, "/tokenizer.json: JSON is nested too"),
        ("tokenizer.json", '{"a": 1, "a": 2}', '/tokenizer.json: .*"a" appears twice'),
        ("tokenizer.json", "{}", ": transformers cannot load this tokenizer "),
        ("tokenizer.json", '{"model": null}', ": transformers cannot load this"),
        ("tokenizer_config.json", "{", "/tokenizer_config.json: not valid JSON"),
        ("tokenizer_config.json", "[]", "/tokenizer_config.json: expected a JSON obj"),
    ],
)
def test_a_damaged_tokenizer_is_refused(tmp_path, name, content, words):
    tiny_tokenizers.save_tokenizer(tmp_path)
    (tmp_path / name).write_text(content)
    message = rf"^{tmp_path}{words}[^\n]*$"
    with pytest.raises(errors.TokenizerError, match=message):
        normalise(tmp_path)


def write_both_kinds(folder):
    """A tokenizer as tokenizer.json, and as vocab.json and merges.txt; returns the vocabulary."""
    tiny_tokenizers.save_tokenizer(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return vocabulary


@pytest.mark.fault(case=19)
def test_files_that_agree_are_one_tokenizer(tmp_path):
    write_both_kinds(tmp_path)
    normalise(tmp_path)
    # In tokenizer.json an added token has its own list; elsewhere it may have a file.
    tiny_tokenizers.save_tokenizer(tmp_path, extra=("αβ",))
    assert load(tmp_path).encode(["αβ"]) == [[260]]
    (tmp_path / "added_tokens.json").write_text('{"αβ": 260}')
    assert load(tmp_path).encode(["αβ"]) == [[260]]


def _swap(vocabulary):
    vocabulary["!"], vocabulary["#"] = vocabulary["#"], vocabulary["!"]


def _add(vocabulary):
    vocabulary["αβ"] = 262


def _drop(vocabulary):
    del vocabulary["!"]


@pytest.mark.fault(case=19)
@cases.each(
    "change, message",
    [
        (_swap, "disagree on 2 tokens, such as '!': 4 and 6"),
        (_add, "disagree on 1 tokens, such as 'αβ': None and 262"),
        (_drop, "disagree on 1 tokens, such as '!': 4 and None"),
    ],
)
def test_vocabularies_that_disagree_are_refused(tmp_path, change, message):
    vocabulary = write_both_kinds(tmp_path)
    change(vocabulary)
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(errors.TokenizerError, match=message):
        normalise(tmp_path)


@pytest.mark.fault(case=19)
@cases.each("rules", [b"! #", b"\xff"])
def test_merges_that_disagree_are_refused(tmp_path, rules):
    write_both_kinds(tmp_path)
    (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\n" + rules + b"\n")
    with pytest.raises(errors.TokenizerError, match="rule 1 is None in .* '.*' in mer"):
        normalise(tmp_path)


@pytest.mark.fault(case=19)
@cases.each("content", [b"{", b"\xff", b"[" * 10**5, b"[]"])
def test_a_damaged_vocabulary_beside_is_refused(tmp_path, content):
    write_both_kinds(tmp_path)
    (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(errors.TokenizerError, match=r"^[^\n]*vocab.json: [^\n]*$"):
        normalise(tmp_path)


@pytest.mark.fault(case=11)
@pytest.mark.fault(case=19)
@cases.each("place", ["tokenizer_config.json", "config.json"])
@cases.each("is_whole", [True, False])
def test_code_in_the_directory_never_runs(tmp_path, place, is_whole):
    write_both_kinds(tmp_path)
    if not is_whole:
        (tmp_path / "tokenizer.json").unlink()
    auto_map = {"AutoTokenizer": ["canary.T", "canary.T"], "AutoConfig": "canary.C"}
    settings = {"auto_map": auto_map, "model_type": "canary", "tokenizer_class": "T"}
    (tmp_path / place).write_text(json.dumps(settings))
    song = tmp_path / "song"
    (tmp_path / "canary.py").write_text(
        f"open({str(song)!r}, 'w')\nclass T: pass\nclass C: pass\n"
    )
    try:
        normalise(tmp_path)
    except errors.TokenizerError:
        assert not is_whole
    assert not song.exists()


def test_galactica_and_gpt2_add_nothing_or_exactly_the_document_start(tmp_path):
    # Galactica's file cuts and pads texts, and its special_tokens_map.json is empty.
    tiny_tokenizers.save_tokenizer(tmp_path, beginning=())
    change_file(tmp_path, lambda entries: entries["added_tokens"].clear())
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.normalizer = normalizers.NFKC()
    backend.enable_truncation(3)
    backend.enable_padding(pad_id=1, pad_token="<pad>")
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text("{}")
    galactica = tiny_tokenizers.tiny_config(bos_token_id=0)
    assert load(tmp_path, galactica).encode(["!ﬁ!", ""]) == [[4, 73, 76, 4], []]
    # GPT-2's vocabulary ends with the one special token, which is added to no text.
    gpt2 = tmp_path / "gpt2"
    gpt2.mkdir()
    pieces = (*tiny_tokenizers.ALPHABET, "<|endoftext|>")
    vocabulary = {piece: token for token, piece in enumerate(pieces)}
    (gpt2 / "vocab.json").write_text(json.dumps(vocabulary))
    (gpt2 / "merges.txt").write_text("#version: 0.2\n")
    (gpt2 / "config.json").write_text('{"model_type": "gpt2"}')
    special = {"bos_token_id": 256, "eos_token_id": 256, "pad_token_id": None}
    model = tiny_tokenizers.tiny_config(
        vocab_size=257, document_start_token_id=256, **special
    )
    found = load(gpt2, model)
    assert found.vocabulary[256] == "<|endoftext|>"
    assert found.encode(AWKWARD) == theirs(gpt2, AWKWARD)
    assert 256 not in found.encode(["<|endoftext|>"])[0]


def test_a_list_of_names_reads_no_text(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\r\nA\nC\n")
    found = load(tmp_path)
    assert found.vocabulary == {0: "[PAD]", 1: "A", 2: "C"} and not found.reads_text
    assert found.decode([2, 1]) == "C A"
    (tmp_path / "vocab.txt").write_text("A\nC\nA\n")
    with pytest.raises(errors.TokenizerError, match="two lines 'A'"):
        normalise(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(map(str, range(400))))
    with pytest.raises(errors.TokenizerError, match="token 399 .* no embedding"):
        normalise(tmp_path)

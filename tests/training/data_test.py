"""Which text is learned from and which held out, and the order of windows."""

import json

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.training import data
from tests.support import cases, tiny_tokenizers

T = 6
CONFIG = Config(
    vocab_size=tiny_tokenizers.SIZE,
    hidden_size=8,
    ffn_dim=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    max_position_embeddings=T,
)


def write(path, texts):
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return path


def load(sources, share=0.25, most=100):
    tokenizer = tiny_tokenizers.load()
    return data.load(list(sources.items()), tokenizer, CONFIG, share, most, None)


def test_every_document_is_learned_from_or_held_out(tmp_path):
    texts = [f"{letter}" * 17 for letter in "abcdefgh"]
    found = load({"one": write(tmp_path / "one.jsonl", texts)})
    ids = [tiny_tokenizers.encode_bytes(text) for text in texts]
    # Evenly spaced: the third and the seventh of eight.
    held_out = [2, 6]
    learned = [number for number in range(8) if number not in held_out]
    for windows, chosen in ((found.training, learned), (found.validation, held_out)):
        stream = [t for number in chosen for t in (2, *ids[number])][1:]
        full = len(stream) // T
        assert windows.shape == (full, T + 1)
        assert (windows[:, 0] == 2).all()
        assert windows[:, 1:].reshape(-1).tolist() == stream[: full * T]


def test_a_share_holds_at_least_one_document_of_each_domain():
    assert data.choose_held_out(100, 0.05).sum() == 5
    assert data.choose_held_out(3, 0.01).sum() == 1
    assert data.choose_held_out(2, 0.99).sum() == 1
    assert data.choose_held_out(1, 0.5).sum() == 0


def test_order_is_a_function_of_seed_and_step():
    training = np.arange(10)[:, None]
    batches = [data.batch(training, 7, step, 4) for step in range(10)]
    # Any step alone, in any order, is the same.
    for step in (9, 0, 5):
        np.testing.assert_array_equal(data.batch(training, 7, step, 4), batches[step])
    order = np.concatenate(batches).reshape(4, 10)
    # Each pass has every window once, and an order of its own.
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(10), (4, 1)))
    assert len({tuple(one) for one in order.tolist()}) == 4
    assert not np.array_equal(data.batch(training, 8, 0, 4), batches[0])


def test_last_validation_batch_is_filled_up():
    windows = np.arange(5)[:, None]
    batches = [
        (part[:, 0].tolist(), count) for part, count in data.padded_batches(windows, 3)
    ]
    assert batches == [([0, 1, 2], 3), ([3, 4, 3], 2)]


def test_validation_windows_are_spread(tmp_path):
    sources = {
        name: write(tmp_path / f"{name}.jsonl", [letter * 60, letter * 60])
        for name, letter in (("one", "a"), ("two", "b"))
    }
    found = load(sources, most=4)
    first = found.validation[:, 1].tolist()
    assert first == [tiny_tokenizers.encode_bytes(c)[0] for c in "aabb"]


@cases.each(
    "texts, message",
    [
        (["abc", "def"], "no text to train on: no domain has 6 tokens"),
        (["a" * 100], "to validate on"),
        (["a" * 100, "b"], "to .*: no domain has"),
    ],
)
def test_too_little_text_is_refused(tmp_path, texts, message):
    path = write(tmp_path / "short.jsonl", texts)
    with pytest.raises(errors.CorpusError, match=message):
        load({"short": path})


def test_a_share_that_is_none_is_refused(tmp_path):
    path = write(tmp_path / "one.jsonl", ["a" * 30, "b" * 30])
    with pytest.raises(errors.UsageError, match="validation_share is 0, but"):
        load({"one": path}, share=0)

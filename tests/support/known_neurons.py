"""A study of three neurons whose every number is known, and of tokens that would break a page.

In: a folder. Out: a store and studies of it there, of text made of ready tokens.
"""

import pathlib
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models

from jaxneurons.config import Config
from jaxneurons.store import format, writing
from tests.support import planted, studies

# Neurons 0 fires on two tokens, 1 on every token, 2 on no input; token 6 is hostile.
HOSTILE = "</script>\u202e\n&\0"
LAYER = planted.layer(planted.fires_on(5), planted.constant(1), planted.constant(-1))
LAYER[0][6, 0] = 1.0
WRITES = np.zeros((planted.NEURONS, planted.SIZE))
WRITES[0, [5, 9, 11]] = [-1, 0.5, 0.25]
MODEL = Config.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 3})
# With </s>, windows of 8: the first is full and has tokens 5 and 6, the last is cut short.
TEXTS = {"wiki": [4, 5, 7, 7, 6, 7, 7] + [7] * 7 + [6, 4], "law": [8] * 7}
NAMES = {4: "four", 5: "five", 6: HOSTILE, 7: "seven", 8: "eight", 9: "nine"}


def write(folder: pathlib.Path) -> None:
    """Makes the store, and a finished study of layers 0 and 1 of 3."""
    planted.write_store(folder / "neutral", [LAYER] * 3, MODEL)
    named = {f"<{token}>": token for token in range(19)}
    named |= {text: token for token, text in NAMES.items()}
    named = {text: t for text, t in named.items() if NAMES.get(t, text) == text}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(named, "four")).to_str()
    with writing.Writer(folder / "store", MODEL) as writer:
        for name, shape in format.array_shapes(MODEL).items():
            array = np.zeros(shape, np.float32)
            if name.endswith("layer_norm/scale"):
                array += 1
            elif name == "embed/token_embedding":
                array[:, : MODEL.vocab_size] = 4 * np.eye(MODEL.vocab_size)
            elif "/fc1/" in name:
                array += LAYER[name.endswith("bias")]
            elif name == "layers/001/feed_forward/fc2/kernel":
                array += WRITES
            writer.write(name, array)
        writer.add_tokenizer(tokenizer.encode())
        writer.publish({})
    make(folder, folder / "study", layers=(0, 1))


def make(folder: pathlib.Path, path: pathlib.Path, **chosen: Any) -> None:
    """Another study of the store."""
    sources = [
        (name, planted.write_documents(folder / f"{name}.jsonl", [document]))
        for name, document in TEXTS.items()
    ]
    studies.run_study(path, folder / "store", sources, window=8, examples=2, **chosen)

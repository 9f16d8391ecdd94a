"""Text of a known kind to train on in seconds: letters of which each depends on the two before it."""

import json
import pathlib

import numpy as np

LETTERS = "abcdefgh"


def write_documents(
    path: pathlib.Path, documents: int = 60, length: int = 400, seed: int = 0
) -> pathlib.Path:
    """Writes a .jsonl of documents from one second-order Markov chain.

    The two letters before decide the next one in 9 of 10 cases, so that a bigram model, which
    looks at one, is far from the best.
    """
    rng = np.random.default_rng(seed)
    table = np.random.default_rng(1).integers(
        0, len(LETTERS), (len(LETTERS), len(LETTERS))
    )
    lines = []
    for _ in range(documents):
        letters = [0, 1]
        for noise in rng.random(length):
            follows = table[letters[-2], letters[-1]]
            letters.append(int(follows if noise < 0.9 else rng.integers(len(LETTERS))))
        text = "".join(LETTERS[letter] for letter in letters)
        lines.append(json.dumps({"text": text}))
    path.write_text("\n".join(lines))
    return path

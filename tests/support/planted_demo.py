"""The planted model of the package: weights set by hand, so that a study of the embedded text finds it all.

In: the tokenizer of opt-1.9m. Out: `jaxneurons/demo/planted/`, and what is planted where, by layer.
`python -m tests.support.planted_demo` writes it anew.

The residual stream has a unit vector for each of 64 tokens (OWN), one for the other tokens (ELSE) and one for
all indentation (INDENT); a random code for every token (CODE); which of 16 tokens stood one and two places back
(BACK; the heads of layer 0 copy them there); and a sine and cosine of eight frequencies of the position (WAVES).
Nothing was trained: the model predicts nothing.
"""

import math
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tokenizers

from convert import export
from jaxneurons import config, demo
from jaxneurons.store import format, reading, writing

# Tokens that the heads look for, one and two places back; Ġ is the space before a word.
CONTEXT = "ĠLATIN ĠSMALL ĠCAPITAL What ĠWhat Ġis Ġthe Ġprime Ġfactors Ġthird Ġderivative Ġdistrict ĠUnited Ġnot Ġag ric"
TOKENS = (
    f"{CONTEXT} ĠLETTER Ġof Ġcourt ĠStates ĠNone ult Ġself Ġreturn Ġif Ġelse Ġfor Ġ-> name path mask sign sqrt ĠLet Let "
    "Suppose ĠSuppose Calculate ĠCalculate Solve Simplify Expand Ġdivided Ġby Ġcomposite Ġminutes ĠCourt Ġappeal "
    "Ġcontract Ġclaims ĠPuerto ĠRico Ġplaintiff ĠJudge Ġseries Ġworld Ġwater Ġoften Ġand Ġhis Ġwas Ġfrom Ġwith Ġin"
).split()
TRIGRAMS = [
    phrase.split()
    for phrase in (
        "ĠLATIN ĠSMALL ĠLETTER",
        "What Ġis Ġthe",
        "Ġprime Ġfactors Ġof",
        "Ġthe Ġthird Ġderivative",
        "Ġthe Ġdistrict Ġcourt",
        "Ġthe ĠUnited ĠStates",
        "Ġis Ġnot ĠNone",
        "Ġag ric ult",
        "ĠLATIN ĠCAPITAL ĠLETTER",
        "ĠWhat Ġis Ġthe",
        "Ġthe Ġprime Ġfactors",
        "Ġthird Ġderivative Ġof",
    )
]
NEURONS = 192
WINDOW = 256
BACK_TOKENS = len(CONTEXT.split())
OWN = 0
ELSE = OWN + len(TOKENS)
INDENT = ELSE + 1
CODE = INDENT + 1
BACK = CODE + 14
WAVES = BACK + 2 * BACK_TOKENS
PERIODS = [512 / 2**k for k in range(8)]
MODEL = config.Config(
    vocab_size=4096,
    hidden_size=WAVES + 2 * len(PERIODS),
    ffn_dim=NEURONS,
    num_hidden_layers=4,
    num_attention_heads=2,
    max_position_embeddings=WINDOW,
)
# Length of a token's code, and of each pair of sine and cosine.
CODE_LENGTH = 0.7
WAVE_LENGTH = 1 / math.sqrt(len(PERIODS))
# What LayerNorm multiplies by where a token, its code, the position and one token back are there; by a third more or
# less elsewhere, which no neuron's threshold is near.
SCALE = math.sqrt(MODEL.hidden_size / 3)


class Wavy(NamedTuple):
    """A positional neuron: fires where a wave over positions and a token's code exceed a threshold.

    Attributes:
        kind, strength: what it must be found to be.
        period: which of PERIODS the wave has.
        height: of the wave, where `code` is 1 and a token's code has a standard deviation of 1.
        code: weight of the code.
        threshold: to exceed.
        ripple: height of a wave of the shortest period.
    """

    kind: str
    strength: str
    period: int
    height: float = 1.0
    code: float = 0.0
    threshold: float = 0.0
    ripple: float = 0.0


WAVY = [
    Wavy("oscillatory", "strong", 3),
    Wavy("both", "strong", 0),
    Wavy("oscillatory", "strong", 4),
    Wavy("one", "strong", 0, 3.0, 1, 3.6),
    Wavy("oscillatory", "strong", 2),
    Wavy("oscillatory", "weak", 3, 1.8, 1),
    Wavy("both", "weak", 0, 2.2, 1),
    Wavy("one", "weak", 0, 1.0, 1, 0.8),
    Wavy("other", "strong", 0, 0.9, 1),
    Wavy("other", "weak", 0, 0.8, 1, ripple=0.4),
]


class Plan(NamedTuple):
    """What a layer has; the rest of its neurons fires on tokens of similar code.

    Attributes:
        certified: neurons whose weights keep them from firing.
        unread: neurons for two tokens that never follow each other.
        indentation: neurons for all tokens of indentation.
        tokens: for which of TOKENS there is a detector.
        trigrams: for which of TRIGRAMS.
        wavy: which of WAVY there are.
    """

    certified: int
    unread: int
    indentation: int
    tokens: slice
    trigrams: slice
    wavy: slice


PLANS = [
    Plan(40, 32, 0, slice(0, 40), slice(0, 8), slice(0, 10)),
    Plan(12, 16, 1, slice(24, 52), slice(4, 12), slice(0, 6)),
    Plan(0, 6, 2, slice(46, 60), slice(9, 12), slice(5, 9)),
    Plan(0, 0, 2, slice(60, 64), slice(0), slice(0)),
]


class Neuron(NamedTuple):
    """Fires where its weights times the residual stream, with LayerNorm's usual scale left out, exceed the threshold.

    Attributes:
        what: "dead", "indentation", "token", "trigram", "positional" or "other".
        weights: float[D].
        threshold: to exceed.
        output: float[D], what it adds to the residual stream for each unit above the threshold.
        kind, strength: of a positional neuron.
        words: the tokens or trigrams that a detector is for.
    """

    what: str
    weights: np.ndarray
    threshold: float
    output: np.ndarray
    kind: str = ""
    strength: str = ""
    words: Sequence[Sequence[str]] = ()


def layer(index: int) -> list[Neuron]:
    """The neurons of a layer."""
    rng = np.random.default_rng([17, index])
    plan = PLANS[index]
    neurons = [Neuron("dead", _zeros(), 1.0, _noise(rng))] * plan.certified
    for number in range(plan.unread):
        words = ["ĠLATIN", "ric", "Ġag", "ĠUnited"][number % 4], TOKENS[30 + number]
        neurons.append(_phrase("dead", words, rng))
    for _ in range(plan.indentation):
        weights = np.eye(MODEL.hidden_size)[INDENT]
        neurons.append(Neuron("indentation", weights, 0.5, _noise(rng)))
    for token in TOKENS[plan.tokens]:
        neurons.append(_token_detector(TOKENS.index(token), rng))
    for words in TRIGRAMS[plan.trigrams]:
        neurons.append(_phrase("trigram", words, rng))
    for wavy in WAVY[plan.wavy]:
        neurons.append(_positional(wavy, index, rng))
    while len(neurons) < NEURONS:
        threshold = rng.uniform(2.2, 2.7) - 0.05 * index
        neurons.append(Neuron("other", _code_direction(rng), threshold, _noise(rng)))
    return neurons


def write(path: pathlib.Path) -> None:
    """Writes the model in Hugging Face format."""
    tokenizer = demo.directory(demo.RUNNING_TEXT) / "tokenizer.json"
    with tempfile.TemporaryDirectory() as folder:
        planted = arrays(tokenizers.Tokenizer.from_file(str(tokenizer)))
        with writing.Writer(pathlib.Path(folder) / "store", MODEL) as writer:
            for name, shape in format.array_shapes(MODEL).items():
                neutral = np.full(shape, float(name.endswith("layer_norm/scale")))
                writer.write(name, np.asarray(planted.get(name, neutral), np.float32))
            writer.add_tokenizer(tokenizer.read_bytes())
            writer.publish({"planted": True})
        store = reading.open_store(pathlib.Path(folder) / "store")
        export.write_huggingface(store, path, "float16")


def arrays(tokenizer: tokenizers.Tokenizer) -> dict[str, np.ndarray]:
    """The arrays of a layer store that are not neutral, by name."""
    found = _embedding(tokenizer) | _attention()
    for index in range(MODEL.num_hidden_layers):
        neurons = layer(index)
        path = f"layers/{index:03d}/feed_forward"
        kernel = np.stack([neuron.weights for neuron in neurons], axis=1)
        found[f"{path}/fc1/kernel"] = kernel / SCALE
        found[f"{path}/fc1/bias"] = -np.array([n.threshold for n in neurons])
        found[f"{path}/fc2/kernel"] = np.stack([neuron.output for neuron in neurons])
    return found


def _token_detector(number: int, rng: np.random.Generator) -> Neuron:
    """For one token, or for that and the one before; each sixth promotes its triggers, the others suppress them."""
    triggers = [number, number - 1] if number % 4 == 3 else [number]
    weights, output = _zeros(), _noise(rng)
    weights[[OWN + trigger for trigger in triggers]] = 1
    output[[OWN + trigger for trigger in triggers]] = 0.05 if number % 6 == 5 else -0.1
    words = [[TOKENS[trigger]] for trigger in triggers]
    return Neuron("token", weights, 0.5, output, words=words)


def _phrase(what: str, words: Sequence[str], rng: np.random.Generator) -> Neuron:
    """For two or three tokens in this order."""
    weights = _zeros()
    weights[OWN + TOKENS.index(words[-1])] = 1
    for back, word in enumerate(reversed(words[:-1])):
        weights[BACK + BACK_TOKENS * back + TOKENS.index(word)] = 1
    # LayerNorm leaves at least 0.8 of each token, and less than 0.95 of each where one is missing.
    threshold = 0.8 * len(words) - 0.25
    return Neuron(what, weights, threshold, _noise(rng), words=[words])


def _positional(wavy: Wavy, index: int, rng: np.random.Generator) -> Neuron:
    """In each layer the wave begins elsewhere."""
    weights = wavy.code * _code_direction(rng) + wavy.height * _wave(wavy.period, index)
    weights += wavy.ripple * _wave(7, 0)
    kind, strength = wavy.kind, wavy.strength
    return Neuron("positional", weights, wavy.threshold, _noise(rng), kind, strength)


def _wave(period: int, index: int) -> np.ndarray:
    """Weights that read a cosine of height 1 off the position."""
    weights = _zeros()
    phase = 0.1 + 0.1 * index * (1 + period)
    pair = slice(WAVES + 2 * period, WAVES + 2 * period + 2)
    weights[pair] = np.array([np.cos(phase), np.sin(phase)]) / WAVE_LENGTH
    return weights


def _code_direction(rng: np.random.Generator) -> np.ndarray:
    """Weights that read a number of standard deviation 1, over all tokens, off their codes."""
    weights, direction = _zeros(), rng.standard_normal(BACK - CODE)
    weights[CODE:BACK] = direction / np.linalg.norm(direction)
    return weights * math.sqrt(BACK - CODE) / CODE_LENGTH


def _noise(rng: np.random.Generator) -> np.ndarray:
    """An output that promotes and suppresses tokens by chance."""
    output = _zeros()
    output[OWN:BACK] = 0.005 * rng.standard_normal(BACK - OWN)
    return output


def _zeros() -> np.ndarray:
    return np.zeros(MODEL.hidden_size)


def _embedding(tokenizer: tokenizers.Tokenizer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(16)
    tokens = np.zeros((MODEL.vocab_size, MODEL.hidden_size))
    codes = rng.standard_normal((MODEL.vocab_size, BACK - CODE))
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    tokens[:, CODE:BACK] = CODE_LENGTH * codes
    for word, token in tokenizer.get_vocab().items():
        tokens[token, TOKENS.index(word) if word in TOKENS else ELSE] = 1
        tokens[token, INDENT] = word.lstrip("Ċ").startswith("ĠĠĠ")
    angles = 2 * np.pi * np.arange(WINDOW)[:, None] / PERIODS
    places = np.zeros((MODEL.position_offset + WINDOW, MODEL.hidden_size))
    places[MODEL.position_offset :, WAVES::2] = WAVE_LENGTH * np.cos(angles)
    places[MODEL.position_offset :, WAVES + 1 :: 2] = WAVE_LENGTH * np.sin(angles)
    return {"embed/token_embedding": tokens, "embed/position_embedding": places}


def _attention() -> dict[str, np.ndarray]:
    """Layer 0's heads: head 0 copies the token one place back, head 1 the one two places back, if it is of CONTEXT."""
    shape = (MODEL.hidden_size, 2, MODEL.head_size)
    query, key, value = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    output = np.zeros((2, MODEL.head_size, MODEL.hidden_size))
    for head, back in enumerate((1, 2)):
        for pair, period in enumerate(PERIODS):
            angle = 2 * np.pi * back / period
            cosine, sine = np.cos(angle), np.sin(angle)
            rows = slice(WAVES + 2 * pair, WAVES + 2 * pair + 2)
            columns = slice(2 * pair, 2 * pair + 2)
            # So large that the softmax of all other places is 0.
            query[rows, head, columns] = 32 * np.array(
                [[cosine, -sine], [sine, cosine]]
            )
            key[rows, head, columns] = np.eye(2)
        for token in range(BACK_TOKENS):
            value[OWN + token, head, token] = 1
            # What attention reads is scaled, there, by sqrt(D / 2.5).
            copied = BACK + BACK_TOKENS * head + token
            output[head, token, copied] = 1 / math.sqrt(MODEL.hidden_size / 2.5)
    kernels = {"query": query, "key": key, "value": value, "output": output}
    return {f"layers/000/attention/{name}/kernel": k for name, k in kernels.items()}


if __name__ == "__main__":
    target = demo.directory(demo.PLANTED)
    shutil.rmtree(target, ignore_errors=True)
    write(target)

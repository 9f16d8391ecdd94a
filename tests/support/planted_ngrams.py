"""Models wired by hand to n-grams, text in which n-grams occur as often as arranged, and what neurons do on it.

In: neurons as weights on a token, the one before it and the one before that. Out: a layer store whose
attention looks one and two positions back, documents, and activation masks that follow from the wiring alone.

The residual stream is [h, -h], so that LayerNorm only scales it, and by one factor at all places: h holds
the token, the token before, the one before that (unit vectors) and a position code of length 1. The second
and the third are written by the two heads of layer 0, whose scores peak one and two positions back.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxneurons import config
from jaxneurons.store import format, writing

VOCABULARY = 64
WINDOW = 16
NEURONS = 13
BOS = 2
# Frequencies of the position code; the slowest has a period of two windows, so no shift is ambiguous.
FREQUENCIES = np.pi / WINDOW * np.arange(1, 9)
CODE = 3 * VOCABULARY
HALF = CODE + 2 * len(FREQUENCIES)
# Scores of a head at other places lie so far below its peak that their softmax is 0 in float32.
SCORE_GAIN = 200.0
MODEL = config.Config(
    vocab_size=VOCABULARY,
    hidden_size=2 * HALF,
    ffn_dim=NEURONS,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=WINDOW,
)
# As 350m: LayerNorm after the residual addition, and an embedding narrower than the residual stream.
MODEL_350M = dataclasses.replace(
    MODEL, do_layer_norm_before=False, word_embed_proj_dim=VOCABULARY
)


class Neuron(NamedTuple):
    """Fires where the weights of the tokens found add up to more than the threshold.

    Attributes:
        weights: (how many places back, token) to weight.
        threshold: to exceed.
        output: token to the projection of the neuron's output on it (pre-LayerNorm model).
    """

    weights: Mapping[tuple[int, int], float]
    threshold: float = 0.5
    output: Mapping[int, float] = {}


def tokens(*ids: int) -> Neuron:
    """A neuron for each of these tokens."""
    return Neuron({(0, token): 1.0 for token in ids})


def ngram(*ids: int) -> Neuron:
    """A neuron for these tokens in this order."""
    return Neuron(dict.fromkeys(enumerate(reversed(ids)), 1.0), len(ids) - 0.5)


def constant(active: bool) -> Neuron:
    """A neuron that is always or never active."""
    return Neuron({}, -1.0 if active else 1.0)


def write_store(
    path: pathlib.Path,
    layers: Sequence[Sequence[Neuron]],
    model: config.Config = MODEL,
) -> pathlib.Path:
    """A store of the model with these neurons, each layer filled up with ones that never fire."""
    planted = _embedding(model) | _attention(model)
    for layer, neurons in enumerate(layers):
        planted |= _feed_forward(layer, neurons)
    with writing.Writer(path, model) as writer:
        for name, shape in format.array_shapes(model).items():
            neutral = np.full(shape, float(name.endswith("layer_norm/scale")))
            array = planted.get(name, neutral)
            writer.write(name, np.asarray(array, np.float32))
        writer.publish({"planted": True})
    return path


def active(layers: Sequence[Sequence[Neuron]], windows: np.ndarray) -> list[np.ndarray]:
    """Which neurons fire where, bool[W, T, F] a layer, for windows int32[W, T]; before a window lies BOS."""
    masks = []
    for neurons in layers:
        mask = np.zeros((*windows.shape, NEURONS), bool)
        for index, neuron in enumerate(neurons):
            found = np.zeros(windows.shape)
            for (back, token), weight in neuron.weights.items():
                before = np.pad(windows, ((0, 0), (back, 0)), constant_values=BOS)
                found += weight * (before[:, : windows.shape[1]] == token)
            mask[:, :, index] = found > neuron.threshold
        masks.append(mask)
    return masks


def lay_out(phrases: Iterable[Sequence[int]], filler: int) -> list[list[int]]:
    """Documents of these phrases, with filler where a window would end inside a phrase."""
    documents: list[list[int]] = [[]]
    place = 0
    for phrase in phrases:
        if len(documents[-1]) > 2 * WINDOW:
            documents.append([])
            place += 1  # The separator.
        room = WINDOW - 1 - place % (WINDOW - 1)
        added = [*phrase] if len(phrase) <= room else [filler] * room + [*phrase]
        documents[-1] += added
        place += len(added)
    return documents


def _unit(block: int, token: int) -> np.ndarray:
    """[h, -h] with a 1 for a token in block 0 (itself), 1 (the one before) or 2."""
    h = np.zeros(HALF)
    h[VOCABULARY * block + token] = 1
    return np.concatenate([h, -h])


def _embedding(model: config.Config) -> dict[str, np.ndarray]:
    units = np.stack([_unit(0, token) for token in range(VOCABULARY)])
    places = np.zeros((WINDOW, HALF))
    angles = np.arange(WINDOW)[:, None] * FREQUENCIES
    places[:, CODE::2] = np.cos(angles) / np.sqrt(len(FREQUENCIES))
    places[:, CODE + 1 :: 2] = np.sin(angles) / np.sqrt(len(FREQUENCIES))
    rows = np.concatenate([places, -places], axis=1)
    table = {
        "embed/position_embedding": np.pad(rows, ((model.position_offset, 0), (0, 0)))
    }
    if not model.has_projections:
        return table | {"embed/token_embedding": units}
    return table | {
        "embed/token_embedding": np.eye(VOCABULARY),
        "embed/project_in/kernel": units,
        # Not the transpose of project_in: a neuron writes the opposite of what it seems to.
        "embed/project_out/kernel": -units.T,
    }


def _attention(model: config.Config) -> dict[str, np.ndarray]:
    """Layer 0's heads: head 0 copies the token one place back, head 1 the one two places back."""
    heads = (2 * HALF, 2, HALF)
    query, key, value = np.zeros(heads), np.zeros(heads), np.zeros(heads)
    output = np.zeros((2, HALF, 2 * HALF))
    # What attention reads: LayerNorm of an h of length sqrt(2), or h itself.
    scale = np.sqrt(HALF / 2) if model.do_layer_norm_before else 1.0
    for head, back in enumerate((1, 2)):
        for pair, frequency in enumerate(FREQUENCIES):
            cosine, sine = np.cos(back * frequency), np.sin(back * frequency)
            rows = slice(CODE + 2 * pair, CODE + 2 * pair + 2)
            columns = slice(2 * pair, 2 * pair + 2)
            query[rows, head, columns] = [[cosine, -sine], [sine, cosine]]
            key[rows, head, columns] = np.eye(2)
        for token in range(VOCABULARY):
            value[token, head, token] = 1
            output[head, token] = _unit(back, token) / scale
    query *= SCORE_GAIN * np.sqrt(HALF) / scale**2
    kernels = {"query": query, "key": key, "value": value, "output": output}
    return {f"layers/000/attention/{name}/kernel": k for name, k in kernels.items()}


def _feed_forward(layer: int, neurons: Sequence[Neuron]) -> dict[str, np.ndarray]:
    fc1, bias = np.zeros((2 * HALF, NEURONS)), np.full(NEURONS, -1.0)
    fc2 = np.zeros((NEURONS, 2 * HALF))
    # The network reads LayerNorm of an h of length 2.
    scale = np.sqrt(HALF / 4)
    for index, neuron in enumerate(neurons):
        bias[index] = -neuron.threshold
        for (back, token), weight in neuron.weights.items():
            fc1[VOCABULARY * back + token, index] = weight / scale
        for token, projection in neuron.output.items():
            fc2[index] += projection / 2 * _unit(0, token)
    path = f"layers/{layer:03d}/feed_forward"
    return {
        f"{path}/fc1/kernel": fc1,
        f"{path}/fc1/bias": bias,
        f"{path}/fc2/kernel": fc2,
    }

"""Models whose weights are set by hand, so that what a study must find is known.

Attention adds nothing. A token's embedding is a multiple of a unit vector of its own, which the
LayerNorm turns into sqrt(D - 1) along that vector and -1 / sqrt(D - 1) along all others.
"""

import json
import pathlib

import numpy as np

from jaxneurons import config
from jaxneurons.store import format, writing

SIZE = 32
VOCABULARY = 20
NEURONS = 8
MODEL = config.Config(
    vocab_size=VOCABULARY,
    hidden_size=SIZE,
    ffn_dim=NEURONS,
    num_hidden_layers=3,
    num_attention_heads=2,
    max_position_embeddings=16,
)


def write_store(
    path: pathlib.Path,
    layers: list[tuple[np.ndarray, np.ndarray]],
    model: config.Config = MODEL,
    tokenizer: str | None = None,
) -> pathlib.Path:
    """A store of a model whose layers have these fc1 (kernel [D, F], bias [F]); all else is neutral.

    tokenizer: as JSON, where it has one.
    """
    with writing.Writer(path, model) as writer:
        for name, shape in format.array_shapes(model).items():
            array = np.zeros(shape, np.float32)
            if name.endswith("layer_norm/scale"):
                array += 1
            elif name == "embed/token_embedding":
                array[:, : model.vocab_size] = 4 * np.eye(model.vocab_size)
            elif name.endswith("fc1/kernel"):
                array += layers[int(name.split("/")[1])][0]
            elif name.endswith("fc1/bias"):
                array += layers[int(name.split("/")[1])][1]
            writer.write(name, array)
        if tokenizer is not None:
            writer.add_tokenizer(tokenizer.encode())
        writer.publish({"planted": True})
    return path


def fires_on(token: int) -> tuple[np.ndarray, float]:
    """Weights and bias of a neuron that fires on one token and no other."""
    weights = np.zeros(SIZE)
    weights[token] = 1.0
    return weights, -1.0


def constant(value: float) -> tuple[np.ndarray, float]:
    """Weights and bias of a neuron whose pre-activation is always `value`."""
    return np.zeros(SIZE), value


def layer(*neurons: tuple[np.ndarray, float]) -> tuple[np.ndarray, np.ndarray]:
    """fc1 of a layer of these neurons, filled up with ones that are never active."""
    kernel = np.zeros((SIZE, NEURONS))
    bias = np.full(NEURONS, -1.0)
    for index, (weights, offset) in enumerate(neurons):
        kernel[:, index] = weights
        bias[index] = offset
    return kernel, bias


def write_documents(path: pathlib.Path, documents: list[list[int]]) -> pathlib.Path:
    """Ready-made tokens as JSON lines."""
    lines = [json.dumps({"tokens": document}) for document in documents]
    path.write_text("\n".join(lines) + "\n")
    return path

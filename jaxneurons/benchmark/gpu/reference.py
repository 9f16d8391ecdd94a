"""OPT in float64 and NumPy, written apart from the block it judges: tokens in; activations and logits out.

Pre-LayerNorm, ReLU and learned positions only, as every published size but 350m has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons.config import Config

Parameters = Mapping[str, Any]


def forward(
    config: Config,
    embedding: Parameters,
    layers: Sequence[Parameters],
    tokens: np.ndarray,
) -> tuple[list[np.ndarray], np.ndarray]:
    """The neurons' values [B, T, F] of each layer, and the logits [B, T, V], of tokens int[B, T].

    Parameters are float64, in the shapes of `block.parameter_shapes` and `embed.parameter_shapes`.
    """
    positions = np.arange(tokens.shape[1]) + config.position_offset
    x = embedding["token_embedding"][tokens]
    x = x + embedding["position_embedding"][positions]
    activations = []
    for params in layers:
        normal = _layer_norm(params["attention_layer_norm"], x)
        x = x + _attention(config, params["attention"], normal)
        network = params["feed_forward"]
        normal = _layer_norm(params["feed_forward_layer_norm"], x)
        activations.append(np.maximum(_dense(network["fc1"], normal), 0))
        x = x + _dense(network["fc2"], activations[-1])
    final = _layer_norm(embedding["final_layer_norm"], x)
    return activations, final @ embedding["token_embedding"].T


def _dense(params: Parameters, x: np.ndarray) -> np.ndarray:
    return x @ params["kernel"] + params["bias"]


def _layer_norm(params: Parameters, x: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    normal = (x - x.mean(axis=-1, keepdims=True)) / deviation
    return normal * params["scale"] + params["bias"]


def _attention(config: Config, params: Parameters, x: np.ndarray) -> np.ndarray:
    def heads(name: str) -> np.ndarray:
        product = np.tensordot(x, params[name]["kernel"], axes=1)
        return np.swapaxes(product + params[name]["bias"], 1, 2)

    query = heads("query") / np.sqrt(config.head_size)
    scores = query @ np.swapaxes(heads("key"), 2, 3)
    future = np.triu(np.ones(scores.shape[2:], bool), 1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = np.where(future, 0, weights)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    mixed = np.swapaxes(weights @ heads("value"), 1, 2)
    output = params["output"]
    return np.tensordot(mixed, output["kernel"], axes=2) + output["bias"]

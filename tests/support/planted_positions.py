"""Models wired by hand to position, through sine and cosine codes, and text whose counts at each position are exact.

In: neurons as a wave over positions and tokens that overrule it. Out: a layer store, and for each domain a
stream of text in which every position of the full windows sees each token of the domain equally often.

The residual stream is [h, -h], so that LayerNorm only scales it, by one factor everywhere: h holds the token
(a unit vector) and a sine and cosine of each frequency. Attention adds nothing.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxneurons import config
from jaxneurons.store import format, writing

POSITIONS = 256
NEURONS = 9
# Periods in a window: a wave's crossings of zero lie between positions, never on one.
PERIODS = (0.5, 4.0, POSITIONS / 2)
# Each domain has tokens of its own, as many, so that shares mean the same in all.
DOMAIN_TOKENS = 20
FIRST_TOKEN = 4
DOMAINS = 2
VOCABULARY = FIRST_TOKEN + DOMAINS * DOMAIN_TOKENS
BOS = 2
HALF = VOCABULARY + 2 * len(PERIODS)
OFFSET = 2
# A wave has height 1: this overrules it.
OVERRULE = 2.0
MODEL = config.Config(
    vocab_size=VOCABULARY,
    hidden_size=2 * HALF,
    ffn_dim=NEURONS,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=POSITIONS,
    position_offset=OFFSET,
)


class Neuron(NamedTuple):
    """Fires where its wave is above 0, except on some tokens.

    Attributes:
        periods: of the wave in a window; None for a wave that is always below 0.
        sign: 1 begins each period high, -1 low.
        on: tokens of each domain, from its first, on which it always fires.
        off: tokens of each domain, from its last, on which it never does.
    """

    periods: float | None
    sign: int = 1
    on: int = 0
    off: int = 0


def frequency(neuron: Neuron) -> np.ndarray:
    """The share of full windows in which it fires at each position, float64[T]; position 0 is BOS."""
    high = wave(neuron) > 0
    share = np.where(high, DOMAIN_TOKENS - neuron.off, neuron.on) / DOMAIN_TOKENS
    share[0] = high[0]
    return share


def wave(neuron: Neuron) -> np.ndarray:
    """Its height at each position, float64[T]; read half a position on, so that it is never 0."""
    if neuron.periods is None:
        return np.full(POSITIONS, -1.0)
    places = np.arange(POSITIONS) + _offset(neuron.periods)
    return neuron.sign * np.cos(2 * np.pi * neuron.periods * places / POSITIONS)


def write_store(path: pathlib.Path, layers: Sequence[Sequence[Neuron]]) -> pathlib.Path:
    """A store of the model with these neurons, each layer filled up with ones that never fire."""
    planted = _embedding()
    for layer, neurons in enumerate(layers):
        planted |= _feed_forward(layer, neurons)
    with writing.Writer(path, MODEL) as writer:
        for name, shape in format.array_shapes(MODEL).items():
            neutral = np.full(shape, float(name.endswith("layer_norm/scale")))
            writer.write(name, np.asarray(planted.get(name, neutral), np.float32))
        writer.publish({"planted": True})
    return path


def balanced_text(domain: int, rounds: int, seed: int) -> list[int]:
    """A document that fills `rounds * DOMAIN_TOKENS` windows.

    In each round every position sees each token of the domain once, in an order of its own.
    """
    rng = np.random.default_rng(seed)
    tokens = np.arange(DOMAIN_TOKENS) + FIRST_TOKEN + domain * DOMAIN_TOKENS
    shape = (rounds, POSITIONS - 1, DOMAIN_TOKENS)
    orders = rng.permuted(np.broadcast_to(tokens, shape), axis=2)
    return orders.transpose(0, 2, 1).reshape(-1).tolist()


def _offset(periods: float) -> float:
    """The fastest wave changes at every position: it needs no offset, and would be 0 with half of one."""
    return 0.0 if periods == POSITIONS / 2 else 0.5


def _embedding() -> dict[str, np.ndarray]:
    tokens = np.eye(VOCABULARY, HALF)
    places = np.zeros((POSITIONS + OFFSET, HALF))
    angles = 2 * np.pi * np.outer(np.arange(POSITIONS), PERIODS) / POSITIONS
    places[OFFSET:, VOCABULARY::2] = np.cos(angles)
    places[OFFSET:, VOCABULARY + 1 :: 2] = np.sin(angles)
    return {
        "embed/token_embedding": np.concatenate([tokens, -tokens], axis=1),
        "embed/position_embedding": np.concatenate([places, -places], axis=1),
    }


def _feed_forward(layer: int, neurons: Sequence[Neuron]) -> dict[str, np.ndarray]:
    kernel, bias = np.zeros((2 * HALF, NEURONS)), np.full(NEURONS, -1.0)
    # LayerNorm of an h of length 2: of the token and three codes.
    scale = np.sqrt(HALF / (1 + len(PERIODS)))
    for index, neuron in enumerate(neurons):
        if neuron.periods is not None:
            bias[index] = 0
            kernel[:HALF, index] = _wave_weights(neuron) / scale
        for domain in range(DOMAINS):
            first = FIRST_TOKEN + domain * DOMAIN_TOKENS
            end = first + DOMAIN_TOKENS
            kernel[first : first + neuron.on, index] = OVERRULE / scale
            kernel[end - neuron.off : end, index] = -OVERRULE / scale
    path = f"layers/{layer:03d}/feed_forward"
    return {f"{path}/fc1/kernel": kernel, f"{path}/fc1/bias": bias}


def _wave_weights(neuron: Neuron) -> np.ndarray:
    """Reads cos(a + b) = cos b · cos a - sin b · sin a off the code of its frequency."""
    weights = np.zeros(HALF)
    column = VOCABULARY + 2 * PERIODS.index(neuron.periods)
    shift = 2 * np.pi * neuron.periods * _offset(neuron.periods) / POSITIONS
    weights[column : column + 2] = np.cos(shift), -np.sin(shift)
    return neuron.sign * weights

"""How often neurons fire (paper §3, Figure 1).

In: counts and weights. Out: dead and certified neurons.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Neurons a block when bounds are computed in float64.
NEURONS_PER_BLOCK = 2048
_CERTIFIED = ("certified_dead", "certified_always_active")


def preactivation_bounds(
    kernel: np.ndarray,
    bias: np.ndarray,
    norm_scale: np.ndarray,
    norm_bias: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest pre-activation that any input can cause (see README.md beside).

    The network reads x = scale * n + offset from a LayerNorm, where n has mean zero and a norm of
    at most sqrt(D); over such n, w·x + c ranges over a ball's image. An upper bound <= 0 certifies
    that a neuron is dead, a lower bound > 0 that it is always active.

    Args:
        kernel: [D, F], first layer of the feed-forward network.
        bias: [F], its bias c; zeros where the model has none.
        norm_scale: [D], of the LayerNorm that it reads; ones where that has none.
        norm_bias: [D], likewise; zeros where that has none.

    Returns:
        float64[F] lower and float64[F] upper bounds.
    """
    scale = norm_scale.astype(np.float64)
    offset = norm_bias.astype(np.float64)
    radius = np.empty(kernel.shape[1])
    centre = np.empty(kernel.shape[1])
    for start in range(0, kernel.shape[1], NEURONS_PER_BLOCK):
        neurons = slice(start, start + NEURONS_PER_BLOCK)
        weights = kernel[:, neurons].astype(np.float64)
        scaled = scale[:, None] * weights
        # n has mean zero, so only the part of scale * w without its mean counts.
        scaled -= scaled.mean(axis=0)
        radius[neurons] = np.sqrt(len(scale)) * np.linalg.norm(scaled, axis=0)
        centre[neurons] = offset @ weights
    centre += bias.astype(np.float64)
    return centre - radius, centre + radius


def domain_entropy(activation_count: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """How evenly neurons fire over the domains: low is specific, ln(domains) is a neuron that does not care.

    It is the entropy of a neuron's activation frequencies in the domains, divided by their sum (LAPE: Tang et
    al., 2024).

    Args:
        activation_count: integer[domain, F].
        tokens: tokens of each domain.

    Returns:
        float64[F], nats; NaN where there is one domain, and of neurons that never fire.
    """
    if len(tokens) == 1:
        return np.full(activation_count.shape[1], np.nan)
    frequency = activation_count / np.array(tokens)[:, None]
    total = frequency.sum(axis=0)
    share = np.divide(
        frequency, total, where=total > 0, out=np.full_like(frequency, np.nan)
    )
    # 0 * ln 0 is 0.
    terms = share * np.log(np.where(share == 0, 1, share))
    # Not -sum: that of a neuron of one domain would be -0.
    return 0 - terms.sum(axis=0)


def summarize_layer(
    layer: int,
    activation_count: np.ndarray,
    tokens: Mapping[str, int],
    min_preactivation: np.ndarray,
    max_preactivation: np.ndarray,
    can_certify: bool = True,
) -> dict[str, Any]:
    """One layer's part of `summary.json`, section `activation`.

    Args:
        layer: the layer's index in the model.
        activation_count: integer[domain, F].
        tokens: tokens, padding not counted, by name of domain in the order of activation_count.
        min_preactivation: float64[F], lower bounds.
        max_preactivation: float64[F], upper bounds.
        can_certify: whether the model is one whose weights can prove anything of a neuron
            (`Config.can_certify`); else its numbers of certified neurons are None.
    """
    neurons = activation_count.shape[1]
    certified: dict[str, float] = {}
    for name, proven in zip(
        _CERTIFIED, (max_preactivation <= 0, min_preactivation > 0), strict=True
    ):
        certified[name] = int(np.count_nonzero(proven))
        certified[f"{name}_share"] = certified[name] / neurons
    return {
        "layer": layer,
        "neurons": neurons,
        **_frequency_summary(activation_count.sum(axis=0), sum(tokens.values())),
        **{name: number if can_certify else None for name, number in certified.items()},
        "domains": {
            name: _frequency_summary(counts, tokens[name])
            for name, counts in zip(tokens, activation_count, strict=True)
        },
    }


def summarize(
    layers: Sequence[Mapping[str, Any]],
    model_layers: int,
    tokens: Mapping[str, int],
    activation_function: str = "relu",
) -> dict[str, Any]:
    """The section `activation` of `summary.json` from its layers' parts."""
    return {
        "model_layers": model_layers,
        "tokens": sum(tokens.values()),
        "tokens_by_domain": dict(tokens),
        "activation_function": activation_function,
        "dead": sum(layer["dead"] for layer in layers),
        **{name: _total(layers, name) for name in _CERTIFIED},
        "layers": list(layers),
    }


def _total(layers: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """A number over all layers; None where it is None in each."""
    numbers = [layer[name] for layer in layers]
    return None if None in numbers else sum(numbers)


def _frequency_summary(counts: np.ndarray, tokens: int) -> dict[str, Any]:
    """Dead neurons, and the mean activation frequency of those alive (None where none is)."""
    alive = counts[counts > 0]
    dead = len(counts) - len(alive)
    mean = int(alive.sum()) / (len(alive) * tokens) if len(alive) else None
    return {
        "dead": dead,
        "dead_share": dead / len(counts),
        "mean_frequency_alive": mean,
    }

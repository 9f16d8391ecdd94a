"""Summaries of studies that were never run, in the shape of OPT's sizes: figures need no model.

In: a size of OPT. Out: what summary.json of its study would hold. The numbers follow the paper
roughly (dead neurons and detectors in the first half, positional ones everywhere) and depend on the
size alone.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from jaxneurons.stats import (
    activation,
    domains,
    ensembles,
    position_summary,
    position_types,
    suppression,
    thresholds,
)
from tests.support import position_patterns

# Layers, neurons per layer, and how much of the paper's effect of scale the size shows.
SIZES = {
    "125m": (12, 3072, 0.1),
    "350m": (24, 4096, 0.0),
    "1.3b": (24, 8192, 0.4),
    "2.7b": (32, 10240, 0.5),
    "6.7b": (32, 16384, 0.6),
    "13b": (40, 20480, 0.7),
    "30b": (48, 28672, 0.9),
    "66b": (64, 36864, 1.0),
}
TOKENS = {"wikipedia": 12_000_000, "code": 8_000_000}
WINDOW = 512
WINDOWS = [5000, 3000]
PIECES = ["Ġtitle", "title", "ĠTitles", "Title", "Ċ", "Ċ" + 7 * "Ġ", "$\\x$", "文"]


def family(number: int) -> dict[str, dict[str, Any]]:
    """Summaries of sizes of OPT by name, smallest first, but the largest if there is only one."""
    sizes = ["66b"] if number == 1 else list(SIZES)[-number:]
    return {f"opt-{size}": summary(size) for size in sizes}


@functools.cache
def summary(size: str) -> dict[str, Any]:
    """The summary of one size; not to be changed."""
    layers, neurons, effect = SIZES[size]
    random = np.random.default_rng(layers)
    return {
        "model": {"name": f"opt-{size}", "layers": layers, "neurons": neurons},
        "study": {"window": WINDOW, "dtype": "float32"},
        "activation": _activation(layers, neurons, effect, random),
        "ngrams": {
            str(n): _ngrams(n, layers, neurons, effect, random) for n in (1, 2, 3)
        },
        "suppression": _suppression(layers, effect),
        "positions": _positions(layers, effect, random),
        "domains": _domains(layers),
    }


def _early(layers: int) -> np.ndarray:
    """A hill over the first half of the layers, float64[L]."""
    place = (np.arange(layers) + 0.5) / layers
    return np.clip(np.sin(2 * np.pi * place), 0, None)


def _activation(layers, neurons, effect, random) -> dict[str, Any]:
    dead = (0.75 * effect * _early(layers) * neurons).astype(int)
    certified = dead // 3
    rows = [
        {
            "layer": layer,
            "neurons": neurons,
            "dead": int(dead[layer]),
            "dead_share": float(dead[layer] / neurons),
            "mean_frequency_alive": float(
                0.02 + 0.1 * random.random() + 0.1 * layer / layers
            ),
            "certified_dead": int(certified[layer]),
            "certified_dead_share": float(certified[layer] / neurons),
            "certified_always_active": 0,
            "certified_always_active_share": 0.0,
            "domains": {},
        }
        for layer in range(layers)
    ]
    return activation.summarize(rows, layers, TOKENS)


def _ngrams(n, layers, neurons, effect, random) -> dict[str, Any]:
    found = (900 * effect * _early(layers) / n**2).astype(int)
    rows = []
    cumulative = 0
    for layer, detectors in enumerate(found.tolist()):
        weights = np.array([0.02, effect * _early(layers)[layer], 0.5, 1, 1.5, 3])
        counts = random.multinomial(neurons // 2, weights / weights.sum())
        ngrams = int(1.6 * detectors)
        cumulative += int(0.6 * ngrams)
        rows.append(
            {
                "layer": layer,
                "alive": int(counts.sum()),
                "coverage_counts": counts.tolist(),
                "coverage_shares": (counts / counts.sum()).tolist(),
                "detectors": detectors,
                "attested_detectors": detectors // 2,
                "ngrams": ngrams,
                "new_overall": int(0.6 * ngrams),
                "new_against_previous": int(0.8 * ngrams),
                "cumulative": cumulative,
            }
        )
    return {
        "n": n,
        "model_layers": layers,
        "criteria": thresholds.Criteria().to_json(),
        "coverage_share": 0.95,
        "coverage_classes": list(ensembles.COVERAGE_CLASSES),
        "layers": rows,
    }


def _suppression(layers, effect) -> dict[str, Any]:
    shares = {
        "detectors": {"number": int(5351 * effect), "mean_negative": 0.83},
        "random_tokens": {"number": int(53510 * effect), "mean_negative": 0.52},
        "random_neurons": {"number": int(53510 * effect), "mean_negative": 0.49},
    }
    rest = {"all_negative": 0.6, "among_lowest": 0.3}
    strongest = [_detector(index % layers, 13416 + index) for index in range(8)]
    return {
        "settings": dataclasses.asdict(suppression.Settings()),
        "vocabulary": 50265,
        "lowest_share": 50 / 50265,
        "layers": [],
        "overall": {group: share | rest for group, share in shares.items()},
        "draws": {},
        "strongest": strongest if effect else [],
    }


def _detector(layer, neuron) -> dict[str, Any]:
    def projected(pieces, first, step):
        return [
            {"id": index, "text": piece, "projection": first + step * index}
            for index, piece in enumerate(pieces)
        ]

    triggers = [
        {"ids": [index], "text": piece, "activations": 90 - index, "occurrences": 91}
        for index, piece in enumerate(PIECES[: 1 + neuron % len(PIECES)])
    ]
    promoted = ["holder", "holders", "ĠShot", "Ġsponsor", "Ġof", "s", "ing", "ed"]
    return {
        "layer": layer,
        "neuron": neuron,
        "coverage": len(triggers),
        "triggers": triggers,
        "promoted": [
            token | {"id": token["id"] + 100}
            for token in projected(promoted, 0.0831, -0.004)
        ],
        "suppressed": projected(PIECES, -0.1214, 0.005),
        "mean_projection": -0.0731,
    }


def _positions(layers, effect, random) -> dict[str, Any]:
    rows = [_position_layer(layer, effect, random) for layer in range(layers)]
    return position_summary.summarize(
        rows, list(TOKENS), WINDOWS, WINDOW, position_types.PositionCriteria()
    )


def _domains(layers) -> dict[str, Any] | None:
    """In layer l, l % 3 neurons of ten are specific to the first domain, and one of the last layer to the second."""
    found = np.zeros((len(TOKENS), layers, 10), bool)
    found[0] = np.arange(10) < np.arange(layers)[:, None] % 3
    found[1, -1, 9] = True
    return domains.summarize(found, range(layers), list(TOKENS), domains.Criteria())


def _position_layer(layer, effect, random) -> dict[str, Any]:
    patterns = position_patterns.patterns(WINDOW)
    # Larger sizes lose the oscillatory neurons.
    kinds = [kind for kind in patterns if effect < 0.6 or kind[0] != "oscillatory"]
    counts = {
        kind: dict.fromkeys(position_types.STRENGTHS, 0)
        for kind in position_types.TYPES
    }
    for kind, strength in kinds:
        counts[kind][strength] = int(random.poisson(2 / (1 + layer / 4)))
    oscillatory = counts["oscillatory"]["strong"]
    waves = [
        np.roll(patterns["oscillatory", "strong"], 40 * index)
        for index in range(oscillatory)
    ]
    ranges = [(position_types.find_runs(wave[1:] > 0.5) + 1).tolist() for wave in waves]
    union, covered, redundant = position_types.cover(ranges, WINDOW)
    return {
        "layer": layer,
        "positional": sum(sum(of_kind.values()) for of_kind in counts.values()),
        "counts": counts,
        "median_correlation": None,
        "strong_oscillatory": {
            "neurons": [100 * index + layer for index in range(oscillatory)],
            "ranges": ranges,
            "union": union,
            "covered_share": covered,
            "redundant": [
                100 * index + layer for index, alone in enumerate(redundant) if alone
            ],
        },
        "examples": [
            _example(layer, kind, patterns[kind], random)
            for kind in kinds
            if counts[kind[0]][kind[1]]
        ],
    }


def _example(layer, kind, pattern, random) -> dict[str, Any]:
    noise = 0.02 * random.standard_normal(WINDOW) * (pattern > 0) * (pattern < 1)
    return {
        "layer": layer,
        "neuron": int(random.integers(3072)),
        "mutual_information": 0.6 / (1 + layer),
        "type": kind[0],
        "strength": kind[1],
        "frequency": np.clip(pattern + noise, 0, 1).round(6).tolist(),
    }

"""Studies as large as those of published models, of numbers drawn at random: what reads a study needs no model.

In: a size of OPT and a number of tokens. Out: a finished study whose arrays have all neurons of that
size. Its tables and arrays do not follow from each other.
"""

import dataclasses
import pathlib

import numpy as np

from jaxneurons.analysis import neurons
from jaxneurons.config import PUBLISHED
from jaxneurons.disk import strict_json
from jaxneurons.studies import contents, coordinates, opening, summary
from jaxneurons.studies.array import ArraySpec
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Domain
from jaxneurons.terms import ORDERS
from tests.support import small_study, summaries

DOMAINS = ("code", "law", "news", "wiki")
EXAMPLES = 16
# Promoted tokens, and as many suppressed ones.
RANKS = 10
TOKEN = ArraySpec(("layer", "neuron", "rank"), "int32")
PROJECTION = ArraySpec(("layer", "neuron", "rank"), "float32")


def write(path: pathlib.Path, size: str, tokens: int, window: int) -> pathlib.Path:
    """Writes the study of one of `summaries.SIZES`."""
    config = dataclasses.replace(
        PUBLISHED[f"opt-{size}"], max_position_embeddings=window
    )
    windows = tokens // window // len(DOMAINS)
    identity = dataclasses.replace(
        small_study.IDENTITY,
        model=dataclasses.replace(
            small_study.IDENTITY.model, name=f"opt-{size}", config=config
        ),
        corpus=tuple(
            Domain(
                name=name,
                index=index,
                fingerprint=name,
                windows=windows,
                full_windows=windows,
                tokens=windows * window,
            )
            for index, name in enumerate(DOMAINS)
        ),
        settings=dataclasses.replace(
            small_study.IDENTITY.settings,
            window=window,
            last_layer=config.num_hidden_layers - 1,
            examples=EXAMPLES,
        ),
    )
    with opening.creating(path, identity) as study:
        study.write_group()
        coordinates.write(study)
        _write_arrays(study, windows)
        _write_findings(study, size)
    opening.open_any(path).finish()
    return path


def _write_arrays(study: Study, windows: int) -> None:
    config, settings = study.identity.model.config, study.identity.settings
    sizes = {
        "layer": config.num_hidden_layers,
        "neuron": config.ffn_dim,
        "domain": len(DOMAINS),
        "domain_or_all": len(DOMAINS) + 1,
        "n": len(ORDERS),
        "window": windows * len(DOMAINS),
        "position": settings.window,
        "example": EXAMPLES,
        "rank": RANKS,
    }
    specs = contents.array_specs(windows, EXAMPLES) | neurons.SPECS
    for end in ("promoted", "suppressed"):
        specs |= {f"{end}_token": TOKEN, f"{end}_projection": PROJECTION}
    random = np.random.default_rng(0)
    for name, spec in specs.items():
        shape = tuple(sizes[dimension] for dimension in spec.dimensions)
        study.create_array(name, shape, spec)
        if spec.layer_axis is None:
            study.write_array(name, _values(name, shape, spec, sizes, random))
            continue
        for layer in range(sizes["layer"]):
            part = shape[: spec.layer_axis] + shape[spec.layer_axis + 1 :]
            study.write_layer(name, layer, _values(name, part, spec, sizes, random))


def _values(name, shape, spec, sizes, random) -> np.ndarray:
    if spec.dtype.startswith("float"):
        return random.standard_normal(shape).astype(spec.dtype)
    if name == "window_domain":
        return np.repeat(np.arange(len(DOMAINS)), shape[0] // len(DOMAINS))
    if name == "window_length":
        return np.full(shape, sizes["position"])
    if name == "detector":
        return random.integers(0, 200, shape) // 199
    highest = {
        "position_count": sizes["window"] // len(DOMAINS),
        "window": sizes["window"],
        "position": sizes["position"],
        "ngram_coverage": 5000,
        "specific": 2,
        "positional_type": 5,
        "positional_strength": 3,
        "activation_count": sizes["window"] * sizes["position"] // len(DOMAINS),
    }
    kind = name if name in highest else name.rpartition("_")[2]
    drawn = random.random(shape) ** 2 * highest.get(kind, 50000)
    return drawn.astype(np.int64)


def _write_findings(study: Study, size: str) -> None:
    for n in ORDERS:
        found = study.read("detector")[n - 1]
        with open(study.path / summary.detectors_name(n), "wb") as file:
            for layer, neuron in zip(*np.nonzero(found), strict=True):
                trigger = {"ids": [7] * n, "activations": 19, "occurrences": 20}
                place = {"layer": int(layer), "neuron": int(neuron)}
                record = place | {"coverage": 2, "triggers": [trigger] * 2}
                file.write(strict_json.to_line(record))
    with open(study.path / summary.POSITIONAL, "wb") as file:
        for neuron in range(1000):
            kind = {"type": "both", "strength": "weak", "mutual_information": 0.1}
            file.write(strict_json.to_line({"layer": 0, "neuron": neuron} | kind))
    names = [summary.POSITIONAL, *map(summary.detectors_name, ORDERS)]
    summary.write(study.path, summaries.summary(size), names)

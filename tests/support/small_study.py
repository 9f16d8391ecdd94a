"""A study of numbers that need no model: what it is of, its arrays, and what they hold."""

import pathlib

import numpy as np

from jaxneurons.config import Config
from jaxneurons.studies import coordinates, opening
from jaxneurons.studies.array import ArraySpec
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Device, Domain, DoneLayer, Identity, Model
from jaxneurons.studies.settings import Settings

IDENTITY = Identity(
    model=Model(
        name="tiny",
        fingerprint="f",
        location="/there",
        dtype="float16",
        config=Config(
            vocab_size=9,
            hidden_size=4,
            ffn_dim=5,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=4,
        ),
    ),
    corpus=tuple(
        Domain(
            name=n, index=i, fingerprint="t", windows=w, full_windows=w, tokens=4 * w
        )
        for i, (n, w) in enumerate({"b": 3, "a": 4}.items())
    ),
    special_tokens=(1, 2),
    settings=Settings(
        window=4,
        first_layer=0,
        last_layer=1,
        windows_per_batch=2,
        dtype="float32",
        max_tokens=None,
        ngrams=True,
        examples=0,
    ),
    versions={"jax": "1"},
    device=Device(platform="cpu", kind="a cpu"),
)
SPECS = {
    "count": ArraySpec(("domain", "layer", "neuron"), "int64"),
    "position_count": ArraySpec(("domain", "layer", "position", "neuron"), "uint16"),
    "bound": ArraySpec(("layer", "neuron"), "float64"),
    "tokens": ArraySpec(("window", "position"), "int32"),
}
SIZES = {"domain": 2, "layer": 3, "neuron": 5, "position": 4, "window": 7}
SHAPES = {n: tuple(SIZES[d] for d in spec.dimensions) for n, spec in SPECS.items()}


def create(path: pathlib.Path) -> None:
    """Begins the study."""
    with opening.creating(path, IDENTITY) as study:
        study.write_group()
        coordinates.write(study)
        for name, spec in SPECS.items():
            study.create_array(name, SHAPES[name], spec)
        study.write_array("tokens", expected("tokens"))


def write_layer(study: Study, layer: int) -> None:
    """Writes a layer of every array that has layers."""
    for name, spec in SPECS.items():
        if "layer" in spec.dimensions:
            study.write_layer(name, layer, expected_layer(name, layer))


def expected(name: str) -> np.ndarray:
    """What an array holds once layers 0 and 1 are written."""
    spec, shape = SPECS[name], SHAPES[name]
    values = np.arange(np.prod(shape)).reshape(shape).astype(spec.dtype)
    if "layer" in spec.dimensions:
        fill = {"i": -1, "u": 0, "f": np.nan}[values.dtype.kind]
        np.moveaxis(values, spec.dimensions.index("layer"), 0)[2] = fill
    return values


def expected_layer(name: str, layer: int) -> np.ndarray:
    """A layer of it."""
    return np.take(expected(name), layer, SPECS[name].dimensions.index("layer"))


def done(layer: int) -> DoneLayer:
    """What is noted of a layer that is done."""
    return DoneLayer(layer=layer, seconds=1.5, wait_seconds=0.0, hidden_states="host")

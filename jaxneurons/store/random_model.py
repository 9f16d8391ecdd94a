"""A layer store of random weights: what speed, memory and tests need of a model, without one.

In: a configuration, a seed and a type. Out: a store as large as the real one, written an array at a
time. Biases and norms are random too, so that no part of a model can be left out unnoticed.
"""

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from jaxneurons.config import Config
from jaxneurons.store import format, writing


def arrays(
    config: Config, seed: int = 0, dtype: str = "float32"
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields every array of a model's store with its name.

    Matrices keep the size of what they multiply, as trained ones do, so that pre-activations are
    about as large as 1; biases are about 0.3 and scales about 1.
    """
    random = np.random.default_rng(seed)
    for name, shape in format.array_shapes(config).items():
        array = random.standard_normal(shape, np.float32)
        kind = name.rpartition("/")[2]
        array *= 0.3 if kind in ("bias", "scale") else config.hidden_size**-0.5
        array += kind == "scale"
        yield name, array.astype(format.DTYPES[dtype])


def write(
    path: os.PathLike | str, config: Config, seed: int = 0, dtype: str = "float32"
) -> pathlib.Path:
    """Writes the store and returns its path; raises as `writing.Writer`."""
    with writing.Writer(path, config) as writer:
        for name, array in arrays(config, seed, dtype):
            writer.write(name, array)
        writer.publish({"random": seed})
    return pathlib.Path(path)

"""A layer store of random weights in the shape of a real model: what memory and streaming are measured on.

In: a configuration and a type. Out: a store as large as the real one, written an array at a time.
"""

import pathlib

import numpy as np

from jaxneurons.benchmark import workload
from jaxneurons.config import Config
from jaxneurons.store import format, writing


def write(path: pathlib.Path, config: Config, dtype: str) -> None:
    """Writes small random weights and scales of 1; raises as `store.Writer`."""
    random = np.random.default_rng(0)
    with writing.Writer(path, config) as writer:
        for name, shape in format.array_shapes(config).items():
            kind = name.rpartition("/")[2]
            if kind in ("bias", "scale"):
                array = np.full(shape, kind == "scale", np.float32)
            else:
                array = random.standard_normal(shape, np.float32)
                array *= workload.WEIGHT_SCALE
            writer.write(name, array.astype(format.DTYPES[dtype]))
        writer.publish({"random": True})

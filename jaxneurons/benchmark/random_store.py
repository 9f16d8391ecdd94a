"""A layer store of random weights in the shape of a real model: what memory and streaming are measured on.

In: a configuration and a type. Out: a store as large as the real one, written an array at a time.
"""

import pathlib

import numpy as np

from jaxneurons import store, store_format
from jaxneurons.benchmark import workload
from jaxneurons.config import OPTConfig


def write(path: pathlib.Path, config: OPTConfig, dtype: str) -> None:
    """Writes small random weights and scales of 1; raises as `store.Writer`."""
    random = np.random.default_rng(0)
    with store.Writer(path, config) as writer:
        for name, shape in store_format.array_shapes(config).items():
            kind = name.rpartition("/")[2]
            if kind in ("bias", "scale"):
                array = np.full(shape, kind == "scale", np.float32)
            else:
                array = random.standard_normal(shape, np.float32)
                array *= workload.WEIGHT_SCALE
            writer.write(name, array.astype(store_format.DTYPES[dtype]))
        writer.publish({"random": True})

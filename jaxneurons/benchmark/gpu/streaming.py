"""How much of reading weights hides behind computing: one loop, its weights from ever slower places.

Sizes in, figures out. A few layers on disk pose as a deep model, so that disk size does not matter.
"""

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxneurons.benchmark import ours
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes
from jaxneurons.benchmark.workload import Workload
from jaxneurons.config import Config
from jaxneurons.counting import reductions
from jaxneurons.store import random_model, reading
from jaxneurons.stream import hidden, loop

RING = 2
DEPTH = 6
Read = Callable[[int], loop.Parameters]


class _Ring:
    """A `loop.LayerSource`: layer l is layer l % RING of what `read` reads."""

    def __init__(self, config: Config, read: Read, embedding: loop.Parameters):
        self.config = config
        self._read = read
        self._embedding = embedding

    def read_layer(self, layer: int) -> loop.Parameters:
        return self._read(layer % RING)

    def read_embed(self) -> loop.Parameters:
        return self._embedding


def places(sizes: Sizes) -> Iterator[Figure]:
    """Seconds per layer with weights on the device, in host memory, in the page cache and on disk."""
    case = sizes.workload(sizes.streamed)
    config = dataclasses.replace(case.config, num_hidden_layers=RING)
    case = dataclasses.replace(case, config=config)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "store"
        # In 16 bits as models are published.
        random_model.write(path, case.config, dtype="float16")
        model = reading.open_store(path)
        on_host = [model.read_layer(layer) for layer in range(RING)]
        on_device = [jax.device_put(params) for params in on_host]
        reads: dict[str, Read] = {
            "on the device": lambda layer: on_device[layer],
            "in host memory": lambda layer: on_host[layer],
            "in the page cache": model.read_layer,
            "on disk": lambda layer: _read_uncached(model, path, layer),
        }
        resident = 0.0
        for place, read in reads.items():
            ring = _Ring(case.config, read, model.read_embed())
            seconds, waiting = _layer_seconds(case, ring)
            resident = resident or seconds
            yield Figure(f"weights {place}", 1e3 * seconds, "ms per layer")
            yield Figure(f"weights {place}: waiting", 1e3 * waiting, "ms per layer")
            slower = 100 * (seconds / resident - 1)
            yield Figure(f"weights {place}: slower by", slower, "%")


def _read_uncached(
    model: reading.Store, path: pathlib.Path, layer: int
) -> loop.Parameters:
    for file in (path / "layers" / f"{layer:03}").rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    return model.read_layer(layer)


def _layer_seconds(case: Workload, ring: _Ring) -> tuple[float, float]:
    """Median seconds of a layer and of waiting in it; the first, which compiles and cannot read ahead, is left out."""
    batches = loop.make_batches(
        ours.make_windows(case), case.config, ours.make_spread(case)
    )
    results = loop.run_layers(
        ring, batches, reductions.chain(), range(DEPTH), hidden.InMemory(), case.dtype
    )
    taken = [(result.seconds, result.wait_seconds) for result in results][1:]
    seconds, waiting = np.median(np.array(taken), axis=0)
    return float(seconds), float(waiting)

"""One whole study here and on this machine's CPU: the small model in, what differs and how long it took out."""

import functools
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np

from jaxneurons.benchmark import processes
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes

COMPARED = (
    "activation_count",
    "position_count",
    "ngram_coverage",
    "ngram_activation_count",
)


def against_cpu(sizes: Sizes) -> Iterator[Figure]:
    """Counts of the embedded model in float32 and in float16, against the CPU's in float32."""
    with tempfile.TemporaryDirectory() as folder:
        runs = (("cpu", "float32"), ("", "float32"), ("", "float16"))
        found = []
        for platform, dtype in runs:
            path = pathlib.Path(folder) / f"{platform}-{dtype}"
            began = time.monotonic()
            chosen = (platform, path, dtype, sizes.study_tokens)
            with processes.started(_study, chosen) as connection:
                found.append(connection.recv())
            name = f"{dtype} on {platform or 'the accelerator'}"
            yield Figure(f"study in {name}", time.monotonic() - began, "s")
        for (_, dtype), arrays in zip(runs[1:], found[1:], strict=True):
            for name, array in arrays.items():
                wanted = found[0][name]
                differing = np.abs(array - wanted).sum() / max(1, np.abs(wanted).sum())
                yield Figure(
                    f"{name} in {dtype} against the CPU",
                    float(100 * differing),
                    "% of the sum",
                )


def _study(connection: Connection, chosen: tuple[str, pathlib.Path, str, int]) -> None:
    """Studies the embedded model in a process of its own and sends its counts."""
    platform, path, dtype, tokens = chosen
    if platform:
        os.environ["JAX_PLATFORMS"] = platform
    import jaxneurons

    read = functools.partial(jaxneurons.load_text, window=64, max_tokens=tokens)
    model = jaxneurons.open_model()
    result = jaxneurons.study(
        model, read(model), path, dtype=dtype, suppression=False, figures=False
    )
    arrays = result.arrays
    connection.send({name: arrays[name].values.astype(np.int64) for name in COMPARED})

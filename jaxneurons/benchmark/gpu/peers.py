"""Other people's forward passes on the same device: sizes in, figures out."""

import statistics
import time
from collections.abc import Iterator

from jaxneurons.benchmark import peers
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.benchmark.gpu.sizes import Sizes


def forward(sizes: Sizes, kind: str) -> Iterator[Figure]:
    """Tokens per second of a whole model of the streamed shape; `kind` says which pass."""
    case = sizes.workload(sizes.streamed)
    try:
        measured = peers.make(case, kind)
    except ModuleNotFoundError as error:
        # accelerate is nobody's dependency.
        yield Figure(kind, f"not run: {error}")
        return
    taken = []
    for _ in range(sizes.repeats):
        began = time.perf_counter()
        measured()
        taken.append(time.perf_counter() - began)
    model = sizes.shapes[sizes.streamed]
    whole = model.num_hidden_layers / case.config.num_hidden_layers
    rate = case.tokens / statistics.median(taken) / whole
    yield Figure(f"{sizes.streamed}, {kind}, whole model", rate, "tokens/s")

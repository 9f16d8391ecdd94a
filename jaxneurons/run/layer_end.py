"""The end of a layer: what was found is added up, and written while the next layer computes.

In: a layer's results as host arrays. Out: its part of every array of the study, and its line of the
log.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any, Self

import numpy as np

from jaxneurons.config import Config
from jaxneurons.counting import examples, statistics
from jaxneurons.run.job import Job
from jaxneurons.stats import activation
from jaxneurons.stream.loop import LayerResult, LayerSource
from jaxneurons.studies import contents
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import DoneLayer

TIMES = ("seconds", "wait_seconds")


class Finisher:
    """Does one piece of work at a time in a thread; an error surfaces at the next call."""

    def __init__(self) -> None:
        self._worker = futures.ThreadPoolExecutor(1, thread_name_prefix="finish")
        self._pending: futures.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        with self._worker:
            if error is None:
                self.wait()

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        """Begins a piece of work when the one before has ended."""
        self.wait()
        self._pending = self._worker.submit(work, *arguments)

    def wait(self) -> None:
        """Waits for the work to end, and raises what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


class BoundedSource:
    """The model, which notes the bounds of each layer's pre-activations as it is read.

    Attributes:
        bounds: of each layer read from the first asked for on, float64[F] least and float64[F]
            largest pre-activation.
    """

    def __init__(self, model: LayerSource, first_layer: int):
        self._model = model
        self._first_layer = first_layer
        self.config = model.config
        self.bounds: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def read_embed(self) -> dict[str, Any]:
        return self._model.read_embed()

    def read_layer(self, layer: int) -> dict[str, Any]:
        params = self._model.read_layer(layer)
        if layer >= self._first_layer:
            self.bounds[layer] = layer_preactivation_bounds(self.config, params)
        return params


def layer_preactivation_bounds(
    config: Config, params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a layer's pre-activations, float64[F] each, from its stored parameters."""
    before = config.do_layer_norm_before
    norm = params.get(
        "feed_forward_layer_norm" if before else "attention_layer_norm", {}
    )
    fc1 = params["feed_forward"]["fc1"]
    return activation.preactivation_bounds(
        fc1["kernel"],
        fc1.get("bias", np.zeros(config.ffn_dim)),
        norm.get("scale", np.ones(config.hidden_size)),
        norm.get("bias", np.zeros(config.hidden_size)),
    )


def finish_layer(
    study: Study,
    job: Job,
    result: LayerResult,
    bounds: tuple[np.ndarray, np.ndarray] | None,
    place: str,
) -> None:
    """Adds what a pass found in a layer to the passes before; the last one writes the layer."""
    layer = result.layer
    found = {name: np.asarray(array) for name, array in result.found.items()}
    sums = found | {name: np.asarray(getattr(result, name)) for name in TIMES}
    if job.first:
        before = contents.read_counts(study, layer, job.first)
        sums = add_passes(before, sums)
    if not job.is_last:
        contents.save_counts(study, layer, job.stop, sums)
        return
    times = {name: round(float(sums.pop(name)), 3) for name in TIMES}
    if bounds is not None:
        write_layer(study, layer, sums, bounds, job.windows.full_windows(), job.offset)
    # Without the parts that only fill the last batch up; of several passes there is no copy to
    # resume from.
    copied = result.copied[: job.spread.parts] if job.is_whole else []
    entry = DoneLayer(layer=layer, hidden_states=place, **times)
    study.finish_layer(entry, copied)


def write_layer(
    study: Study,
    layer: int,
    sums: Mapping[str, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    full_windows: Sequence[int],
    offset: int = 0,
) -> None:
    """Writes what is known of a layer when all its windows are counted.

    Args:
        study: to write to.
        layer: index in the model.
        sums: over all windows, by the names of their arrays, examples among them.
        bounds: least and largest pre-activations, float64[F] each.
        full_windows: of each domain.
        offset: the index of the study's first window, as examples count them.
    """
    found = dict(sums)
    if "mutual_information" not in found:
        found["mutual_information"] = statistics.position_information(
            found["position_count"], full_windows
        )
    found["min_preactivation"], found["max_preactivation"] = bounds
    tokens = [domain.tokens for domain in study.identity.corpus]
    found["domain_entropy"] = activation.domain_entropy(
        found["activation_count"], tokens
    )
    for name, data in examples.moved(found, -offset).items():
        study.write_layer(name, layer, data)


def add_passes(
    before: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Results of a layer, before and of this pass: the best examples, sums of the rest."""
    shown = examples.merge_passes(before, found) if "example_value" in found else {}
    counted = {name: before[name] + found[name] for name in found.keys() - shown.keys()}
    return counted | shown


def describe(result: LayerResult, job: Job, tokens: int) -> str:
    """What the log says of a layer."""
    windows = (
        "" if job.is_whole else f", windows to {job.stop} of {len(job.windows.tokens)}"
    )
    return (
        f"layer {result.layer} of {job.settings.last_layer + 1}{windows}: "
        f"{result.seconds:.2f} s, {tokens / result.seconds:.0f} tokens/s, "
        f"{result.wait_seconds:.2f} s waiting for weights"
    )

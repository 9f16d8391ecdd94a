"""All layers over all windows, in one pass or in several, and what each layer found as the study keeps it.

In: a study that is begun, and its job. Out: the same study with every layer done. Usually there is one pass, and a
layer is done when all windows went through it. With fewer tokens per pass, so that their hidden states fit where it
is fast, the weights are read again for each; sums over the passes before wait in the study's partial folder, and an
interrupted pass begins again. What a layer found is written while the next layer computes.
"""

import contextlib
import hashlib
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, Self

import jax
import numpy as np

from jaxneurons import devices
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.counting import examples, paper, reductions, statistics
from jaxneurons.counting.reductions import Batch, Reduction
from jaxneurons.disk import files
from jaxneurons.run import memory_plan
from jaxneurons.run.job import Job
from jaxneurons.run.resources import Resources
from jaxneurons.stats import activation
from jaxneurons.stream import hidden, loop
from jaxneurons.stream.hidden import Checkpoint, HiddenStates
from jaxneurons.stream.loop import LayerResult, LayerSource
from jaxneurons.studies import candidates, contents
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import DoneLayer

TIMES = ("seconds", "wait_seconds")


def run_passes(study: Study, job: Job, progress: Progress) -> None:
    """Runs what is not done yet and writes each layer as it ends.

    Raises:
        UsageError: it takes more memory than the job's resources have.
        NotFiniteError: NaN or infinity came up.
        InputOutputError: the operating system refuses.
    """
    layers = job.settings.last_layer + 1
    number = len(job.windows.tokens)
    if len(study.done_layers) < layers:
        done = study.passes[-1] if study.passes else 0
        total = int(job.windows.lengths[done:].sum()) * layers
        progress.start(total, "tokens x layers", "tokens")
        reduction = None
        for part in job.passes(done):
            plan = memory_plan.make_plan(part)
            # One for all passes, or JAX would compile the step for each.
            reduction = reduction or make_reduction(part, plan.ngram_bytes)
            _run_pass(study, part, plan, reduction, progress)
    if study.passes[-1:] != (number,):
        study.finish_pass(number)


def check_resources(job: Job) -> memory_plan.Plan:
    """Looks whether the job's resources will do for the first pass, the largest one, and gives its plan.

    Raises:
        UsageError: it takes more memory.
        InputOutputError: the spill directory is none, and cannot be made.
    """
    spill = job.resources.spill_directory
    if spill is not None:
        with files.translated("write", spill):
            spill.mkdir(parents=True, exist_ok=True)
    return memory_plan.make_plan(next(job.passes(0)))


def make_reduction(job: Job, ngram_bytes: int | None) -> Reduction:
    """All that a study counts; `ngram_bytes` of each device's memory count n-grams, None counts none."""
    text = job.text
    return reductions.chain(
        *paper.paper_counts(
            job.model.config,
            text.tokens,
            text.lengths,
            job.windows.full_windows(),
            job.spread,
            ngram_bytes,
            job.is_whole,
            job.settings.examples,
        )
    )


def spill_folder(study: Study, resources: Resources) -> pathlib.Path:
    """Where the study's hidden states are written: its own folder, or one in the spill directory."""
    if resources.spill_directory is None:
        return study.partial
    name = hashlib.sha256(str(study.path).encode()).hexdigest()[:16]
    return resources.spill_directory.absolute() / f"{name}{files.PARTIAL}"


def _run_pass(
    study: Study,
    job: Job,
    plan: memory_plan.Plan,
    reduction: Reduction,
    progress: Progress,
) -> None:
    batches = loop.make_batches(job.text, job.model.config, job.spread, job.first)
    tokens = [int(np.asarray(batch.valid).sum()) for batch in batches]
    source = _BoundedSource(job.model, job.settings.first_layer)

    def finish(result: LayerResult) -> None:
        bounds = source.bounds.pop(result.layer, None)
        _finish_layer(study, job, result, bounds, plan.hidden_states)
        progress.log_line(_line(result, job, sum(tokens)))

    with _checkpoint(study, job, plan) as checkpoint, _Finisher() as finisher:
        start = _resume_point(study, job, checkpoint)
        results = _count_layers(
            source,
            batches,
            reduction,
            start,
            job,
            _hidden_states(plan.hidden_states, checkpoint, len(batches)),
            lambda index: progress.advance(tokens[index]),
        )
        done, layers = set(study.done_layers), job.settings.last_layer + 1
        checkpoint.begin(start)
        for result in results:
            if result.layer not in done:
                progress.describe(f"{result.layer + 1} of {layers} layers")
                if pieces := result.found.pop("candidates", None):
                    candidates.save(study, result.layer, pieces)
                finisher.submit(finish, result)
            if checkpoint.begin(result.layer + 1):
                # The copy that study.json names must stand until the next one is named.
                finisher.wait()
    if not job.is_last:
        study.finish_pass(job.stop)
        contents.remove_counts(study, but=job.stop)


class _BoundedSource:
    """The model, which notes the bounds of each layer's pre-activations as it is read, ahead of its turn.

    Attributes:
        bounds: of each layer read from the first asked for on, float64[F] least and float64[F] largest pre-activation.
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


class _Finisher:
    """Does one piece of work at a time in a thread of its own; an error surfaces at the next call."""

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


def _count_layers(
    source: LayerSource,
    batches: list[Batch],
    reduction: Reduction,
    start: int,
    job: Job,
    residual: HiddenStates,
    on_batch: Callable[[int], None],
) -> Iterator[LayerResult]:
    """Runs the layers from `start` on; those below the first that is asked for count nothing."""
    settings = job.settings
    first = max(start, settings.first_layer)
    for counted, layers in (
        (reductions.chain(), range(start, first)),
        (reduction, range(first, settings.last_layer + 1)),
    ):
        yield from loop.run_layers(
            source, batches, counted, layers, residual, settings.dtype, on_batch
        )


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


@contextlib.contextmanager
def _checkpoint(study: Study, job: Job, plan: memory_plan.Plan) -> Iterator[Checkpoint]:
    """Hidden states on disk are copied after every layer; a pass of several never resumes, and makes no copies."""
    if plan.hidden_states == "disk":
        minutes = 0.0
    else:
        minutes = job.resources.checkpoint_minutes if job.is_whole else math.inf
    config, settings, spread = job.model.config, job.settings, job.spread
    folder = spill_folder(study, job.resources)
    with files.translated("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with Checkpoint(
        folder,
        (spread.windows_at_once, settings.window, config.hidden_size),
        np.dtype(jax.numpy.dtype(settings.dtype)),
        devices.sharded(spread.mesh),
        minutes,
        settings.last_layer,
    ) as checkpoint:
        yield checkpoint


def _hidden_states(place: str, checkpoint: Checkpoint, batches: int) -> HiddenStates:
    """Where hidden states are kept, by what `memory_plan.Plan.hidden_states` calls it."""
    if place == "disk":
        return hidden.OnDisk(checkpoint, batches)
    if place == "host":
        return hidden.OnHost(checkpoint, batches)
    return hidden.InMemory(checkpoint)


def _resume_point(study: Study, job: Job, checkpoint: Checkpoint) -> int:
    """The layer to start at: that after the copy of the residual stream, or 0 without a whole one."""
    saved = study.resume_from
    if saved is None or not job.is_whole or len(saved.digests) != job.spread.parts:
        return 0
    whole = checkpoint.resume(saved.layer, list(saved.digests))
    return saved.layer + 1 if whole else 0


def _finish_layer(
    study: Study,
    job: Job,
    result: LayerResult,
    bounds: tuple[np.ndarray, np.ndarray] | None,
    place: str,
) -> None:
    """Adds what a pass found in a layer to the passes before, and with the last one writes the layer."""
    layer = result.layer
    sums = result.found | {name: np.asarray(getattr(result, name)) for name in TIMES}
    if job.first:
        before = contents.read_counts(study, layer, job.first)
        sums = _add_passes(before, sums)
    if not job.is_last:
        contents.save_counts(study, layer, job.stop, sums)
        return
    times = {name: round(float(sums.pop(name)), 3) for name in TIMES}
    if bounds is not None:
        if not job.is_whole:
            sums["mutual_information"] = statistics.position_information(
                sums["position_count"], job.windows.full_windows()
            )
        sums["min_preactivation"], sums["max_preactivation"] = bounds
        tokens = [domain.tokens for domain in study.identity.corpus]
        sums["domain_entropy"] = activation.domain_entropy(
            sums["activation_count"], tokens
        )
        for name, data in sums.items():
            study.write_layer(name, layer, data)
    # Without the parts that only fill the last batch up; of several passes there is no copy to resume from.
    copied = result.copied[: job.spread.parts] if job.is_whole else []
    entry = DoneLayer(layer=layer, hidden_states=place, **times)
    study.finish_layer(entry, copied)


def _add_passes(
    before: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the passes before and this one found in a layer: the best of their examples, the sums of the rest."""
    shown = examples.merge_passes(before, found) if "example_value" in found else {}
    counted = {name: before[name] + found[name] for name in found.keys() - shown.keys()}
    return counted | shown


def _line(result: LayerResult, job: Job, tokens: int) -> str:
    """What the log says of a layer."""
    windows = (
        "" if job.is_whole else f", windows to {job.stop} of {len(job.windows.tokens)}"
    )
    return (
        f"layer {result.layer} of {job.settings.last_layer + 1}{windows}: "
        f"{result.seconds:.2f} s, {tokens / result.seconds:.0f} tokens/s, "
        f"{result.wait_seconds:.2f} s waiting for weights"
    )

"""All layers over all windows, in one pass or in several, and what each layer found.

In: a study that is begun, and its job. Out: the same study with every layer done. Usually there is
one pass, and a layer is done when all windows went through it. With fewer tokens per pass, so that
their hidden states fit where it is fast, the weights are read again for each; sums over the passes
before wait in the study's partial folder, and an interrupted pass begins again. What a layer found
is written while the next layer computes. Of several processes the first alone writes the study, and each keeps the
hidden states of its own windows.
"""

import collections
import contextlib
import math
import pathlib
import secrets
from collections.abc import Callable, Iterator
from fractions import Fraction

import jax
import numpy as np

from jaxneurons import devices, errors, processes
from jaxneurons.command.progress import Progress
from jaxneurons.counting import ngram_candidates, paper, reductions
from jaxneurons.counting.reductions import Batch, Reduction
from jaxneurons.disk import files
from jaxneurons.run import layer_end, memory_plan
from jaxneurons.run.job import Job
from jaxneurons.run.resources import Resources
from jaxneurons.stream import hidden, loop
from jaxneurons.stream.hidden import Checkpoint, HiddenStates
from jaxneurons.stream.loop import LayerResult, LayerSource
from jaxneurons.studies import candidates, contents
from jaxneurons.studies.directory import Study


def run_passes(
    study: Study, job: Job, folder: pathlib.Path, progress: Progress
) -> None:
    """Runs what is not done yet and writes each layer as it ends; hidden states lie in the folder.

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
            plan = make_plan(part)
            # One for all passes, or JAX would compile the step for each.
            reduction = reduction or make_reduction(part, plan.ngram_bytes)
            _run_pass(study, part, folder, plan, reduction, progress)
    if processes.is_first() and study.passes[-1:] != (number,):
        study.finish_pass(number)


def check_resources(job: Job) -> memory_plan.Plan:
    """Checks the job's resources against the first pass, the largest one, and gives its plan.

    Raises:
        UsageError: it takes more memory.
        InputOutputError: the spill directory is none, and cannot be made.
    """
    spill = job.resources.spill_directory
    if spill is not None:
        with files.translated("write", spill):
            spill.mkdir(parents=True, exist_ok=True)
    return make_plan(next(job.passes(0)))


def make_plan(job: Job) -> memory_plan.Plan:
    """The plan of `memory_plan.make_plan` that fits into the memory of every process; raises as it does."""
    plans = processes.exchange(memory_plan.make_plan(job))
    places = [plan.hidden_states for plan in plans]
    farthest = max(places, key=("memory", "device", "host", "disk").index)
    ngram_bytes = [plan.ngram_bytes for plan in plans if plan.ngram_bytes is not None]
    return memory_plan.Plan(farthest, min(ngram_bytes, default=None))


def make_reduction(job: Job, ngram_bytes: int | None) -> Reduction:
    """All that a study counts, n-grams within `ngram_bytes` of each device; None counts none."""
    text, settings = job.text, job.settings
    return reductions.chain(
        *paper.paper_counts(
            job.model.config,
            text.tokens,
            text.lengths,
            job.windows.full_windows(),
            job.spread,
            ngram_bytes,
            job.is_whole,
            paper.Kept(
                settings.examples,
                Fraction(str(settings.candidate_share)),
                settings.candidate_coverage,
            ),
        )
    )


def spill_folder(study: Study, resources: Resources) -> pathlib.Path:
    """Makes the folder of the study's hidden states: its own, or one in the spill directory.

    Raises:
        UsageError: it is the study's, and this process does not see it.
        InputOutputError: the operating system refuses.
    """
    spill = resources.spill_directory
    name = processes.from_first(lambda: _make_partial(study, spill is not None))
    if spill is None:
        if not study.partial.is_dir():
            raise errors.UsageError(
                f"this process does not see {study.partial}. Write the study to a directory that "
                "all processes share, or name a spill directory."
            )
        return study.partial
    folder = spill.absolute() / f"{name}{files.PARTIAL}"
    with files.translated("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make_partial(study: Study, named: bool) -> str | None:
    """Makes the study's folder of what is partial; if asked for, with a name for a folder elsewhere.

    The name is drawn at random and kept in the study: on two machines, two studies may have one path.
    """
    note = study.partial / "spill_folder"
    with files.translated("write", study.partial):
        study.partial.mkdir(exist_ok=True)
        if not named:
            return None
        if not note.exists():
            files.write_atomically(note, secrets.token_bytes())
        return files.digest(note)[:16]


def _run_pass(
    study: Study,
    job: Job,
    folder: pathlib.Path,
    plan: memory_plan.Plan,
    reduction: Reduction,
    progress: Progress,
) -> None:
    first = job.offset + job.first
    batches = loop.make_batches(job.text, job.model.config, job.spread, first)
    tokens = loop.batch_tokens(job.text, job.spread)
    source = layer_end.BoundedSource(job.model, job.settings.first_layer)
    writes = processes.is_first()
    named = _named_layer(study)

    def finish(result: LayerResult, found: ngram_candidates.Candidates | None) -> None:
        nonlocal named
        if found is not None:
            with contextlib.closing(found), devices.unguarded():
                candidates.save(study, result.layer, found)
        bounds = source.bounds.pop(result.layer, None)
        layer_end.finish_layer(study, job, result, bounds, plan.hidden_states)
        # Only now does study.json say so on the disk.
        named = _named_layer(study)
        progress.log_line(layer_end.describe(result, job, sum(tokens)))

    with _checkpoint(folder, job, plan) as checkpoint, layer_end.Finisher() as finisher:
        start = _resume_point(study, job, checkpoint)
        results = _count_layers(
            source if writes else job.model,
            batches,
            reduction,
            start,
            job,
            _hidden_states(plan.hidden_states, checkpoint, len(batches)),
            lambda index: progress.advance(tokens[index]),
        )
        done, layers = set(study.done_layers), job.settings.last_layer + 1
        checkpoint.begin(start, named)
        for result in results:
            if result.layer not in done:
                progress.describe(f"{result.layer + 1} of {layers} layers")
                found = result.found.pop("candidates", None)
                if found is not None and processes.number() > 1:
                    _save_together(study, result.layer, found)
                    found = None
                if writes:
                    finisher.submit(finish, result, found)
                if found is not None:
                    # There is no room for the masks of two layers.
                    found.released.wait()
            checkpoint.begin(result.layer + 1, named)
    if writes and not job.is_last:
        study.finish_pass(job.stop)
        contents.remove_counts(study, but=job.stop)


def _save_together(
    study: Study, layer: int, found: ngram_candidates.Candidates
) -> None:
    """Finds a layer's candidates, which takes the main threads of all processes; the first one saves them."""
    with contextlib.closing(found):
        if processes.is_first():
            candidates.save(study, layer, found)
        else:
            collections.deque(found, maxlen=0)


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
    reporting = hidden.Reporting(residual, on_batch)
    for counted, layers in (
        (reductions.chain(), range(start, first)),
        (reduction, range(first, settings.last_layer + 1)),
    ):
        yield from loop.run_layers(
            source,
            batches,
            counted,
            layers,
            reporting,
            settings.dtype,
            settings.precision,
        )


@contextlib.contextmanager
def _checkpoint(
    folder: pathlib.Path, job: Job, plan: memory_plan.Plan
) -> Iterator[Checkpoint]:
    """Copies of hidden states: of every layer where they live on disk, else as often as the resources say.

    Several passes over the text make none to resume from.
    """
    if plan.hidden_states == "disk":
        minutes = 0.0
    else:
        minutes = job.resources.checkpoint_minutes if job.is_whole else math.inf
    config, settings, spread = job.model.config, job.settings, job.spread
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


def _named_layer(study: Study) -> int | None:
    """The layer whose copy a killed run would resume from."""
    return None if study.resume_from is None else study.resume_from.layer


def _resume_point(study: Study, job: Job, checkpoint: Checkpoint) -> int:
    """The layer to start at: the one after the copy of the residual stream, or 0."""
    saved = study.resume_from
    if saved is None or not job.is_whole or len(saved.digests) != job.spread.parts:
        return 0
    whole = checkpoint.resume(saved.layer, list(saved.digests))
    return saved.layer + 1 if whole else 0

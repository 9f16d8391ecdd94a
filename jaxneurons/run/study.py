"""A study in one call: streams, counts, analyses, and continues after an interruption.

In: a model, its text, a place. Out: a finished study on disk. Several processes, joined by `jax.distributed`, make
one study together: each computes a share of the windows, and the first one writes.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from jaxneurons import devices, errors, processes
from jaxneurons.analysis import analyze, drawing
from jaxneurons.command import agreement
from jaxneurons.command import cache as caches
from jaxneurons.command.progress import Progress
from jaxneurons.disk import arrays, files, places
from jaxneurons.disk.places import Place
from jaxneurons.run import (
    announcement,
    beginning,
    job,
    memory_plan,
    passes,
    settings,
)
from jaxneurons.run.models import Model, check_kinds
from jaxneurons.run.resources import Resources, check_passes
from jaxneurons.studies import candidates, facts, mirror, opening, results
from jaxneurons.studies.directory import Study
from jaxneurons.studies.facts import Facts, Identity
from jaxneurons.studies.results import Results
from jaxneurons.text.windows import Windows


def study(
    model: Model,
    text: Windows,
    path: os.PathLike | str | Place,
    *,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "auto",
    precision: str = "highest",
    ngrams: bool = True,
    examples: int = 16,
    candidate_share: float | str = 0.95,
    candidate_coverage: int = 64,
    part: str | None = None,
    suppression: bool = True,
    figures: bool = True,
    resume: bool = False,
    resources: Resources | None = None,
    cache: os.PathLike | str | None = None,
    progress: Progress | None = None,
) -> Results:
    """Studies a model on text, as `scripts/study.py` does: which neurons fire, when, and on what.

    >>> result = jaxneurons.study(model, text, "studies/demo")
    >>> dead_share = result.neurons()["dead"].mean()

    Where `jax.distributed` is initialised, every process makes the same call, with a path that all of them see.

    Args:
        model: as `open_model` gives it.
        text: as `load_text` gives it.
        path: the study's directory, which must not exist or be empty unless `resume`; or its address,
            gs://BUCKET/PATH or s3://BUCKET/PATH. The latter is worked on in a local folder, in the
            spill directory or the cache, and sent there after every layer.
        layers: first and last to report, both included; None is all. Those below still run.
        windows_per_batch: windows that each device takes at a time; None is about 2,048 tokens,
            16,384 on accelerators.
        dtype: to compute in: "float32", "bfloat16", "float16", or "auto": float32 on a CPU, on
            accelerators the type that the weights are stored in.
        precision: of float32 products: "highest", or "tf32x3", "bf16x3" or "bf16x6", which a GPU
            multiplies faster; `config.PRECISIONS` explains them.
        ngrams: whether n-grams are counted.
        examples: windows kept for each neuron in which it is at its highest, and as many in which
            it is active chosen at random; 0 keeps none.
        candidate_share, candidate_coverage: n-grams are kept of neurons whose coverage at this
            share is at most that: the lowest share, and the largest coverage, that another analysis
            of the study may ask for.
        part: the share of the windows to study, such as "2/4", where each share is studied on a
            machine of its own and `scripts/merge.py` makes one study of all; without n-grams.
        suppression: whether to find which tokens each neuron promotes and suppresses.
        figures: whether the paper's figures are drawn.
        resume: continue an unfinished study of the same model, text and settings, or begin one
            where there is none.
        resources: what may be used of the machine; None is the defaults of `Resources`.
        cache: directory where a study is worked on that is to be in an object store, without a spill
            directory; None is $JAXNEURONS_CACHE or ~/.cache/jaxneurons.
        progress: what reports progress; None shows a bar on a terminal and in a notebook.

    Returns:
        The finished study, opened to read.

    Raises:
        JaxneuronsError: as `jaxneurons.errors` lists them; nothing finished is ever overwritten.
        MismatchError: two processes have another model, text or setting.
        InterruptedRunError: Ctrl-C or SIGTERM; `resume=True` continues.
    """
    resources, progress = resources or Resources(), progress or Progress()
    if not processes.is_first():
        progress = Progress(shown=False)
    progress.stage("preparation")
    check_kinds(model, text)
    chosen = settings.resolve(
        model.config,
        window=text.tokens.shape[1],
        layers=layers,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        precision=precision,
        stored=model.store.dtype,
        max_tokens=text.max_tokens,
        ngrams=ngrams,
        examples=examples,
        candidate_share=candidate_share,
        candidate_coverage=candidate_coverage,
    )
    per_batch = min(chosen.windows_per_batch, len(text.tokens))
    chosen = dataclasses.replace(chosen, windows_per_batch=per_batch, part=part)
    check_passes(chosen, resources)
    mesh = devices.make_mesh(resources.devices)
    work = job.make_job(model.store, text, chosen, resources, mesh)
    identity = beginning.identify(model.store, model.name, work.windows, chosen)
    _agree(identity, work)
    # Before anything is written: a study that cannot run should not be begun.
    if figures:
        drawing.require_matplotlib()
    plan = passes.check_resources(work)
    _announce(model, work, plan, progress)
    place = places.parse(path)
    if isinstance(place, Place):
        spill = resources.spill_directory
        above = spill or pathlib.Path(cache or caches.directory()) / "studies"
        folder = mirror.local_folder(place, above.absolute(), spill is None)
        copy = mirror.Mirror(folder, place)
    else:
        folder, copy = place.absolute(), None
    said = processes.from_first(lambda: _begin(work, identity, folder, resume, copy))
    begun = Study(folder, said)
    if copy:
        begun.saved = copy.send
    _finish(begun, work, suppression, figures, progress)
    if copy:
        shutil.rmtree(folder, ignore_errors=True)
    return results.open_study(place)


def _agree(identity: Identity, work: job.Job) -> None:
    """Raises MismatchError where the processes would not make the same study."""
    resources = work.resources
    agreement.require_same(
        facts.compared(identity)
        | {
            "tokens": arrays.digest(work.windows.tokens),
            "devices": work.mesh.size,
            "tokens_per_pass": resources.tokens_per_pass,
            "spill_directory": resources.spill_directory is not None,
        }
    )


def _begin(
    work: job.Job,
    identity: Identity,
    folder: pathlib.Path,
    resume: bool,
    copy: mirror.Mirror | None,
) -> Facts:
    """What a new study says, or with `resume` the one that is there, in the folder or where it has its copy."""
    is_new = not resume or files.is_free(copy.place if copy else folder)
    if copy and is_new:
        opening.refuse_taken(copy.place)
        copy.clear()
    elif copy:
        opening.resume(copy.place, identity)
        copy.fetch()
    if is_new:
        tokenizer = work.model.read_tokenizer()
        beginning.create(folder, work.windows, tokenizer, identity)
    begun = opening.resume(folder, identity).facts
    if copy and is_new:
        copy.begin(begun)
    return begun


def _announce(
    model: Model, work: job.Job, plan: memory_plan.Plan, progress: Progress
) -> None:
    """Says what is studied, on what, before it begins."""
    budgets = memory_plan.budgets(work.resources)
    announcement.say_model(
        model.name, model.store, work.settings, work.resources, progress
    )
    for line in (
        *announcement.text(work.windows),
        announcement.memory(plan, budgets, work.mesh),
    ):
        progress.log_line(line)


def _finish(
    begun: Study, work: job.Job, suppression: bool, figures: bool, progress: Progress
) -> None:
    """Runs and analyzes what is not done yet."""
    with (
        _owned(begun.locked),
        _interruptible(begun),
        devices.unguarded(),
        progress,
    ):
        if processes.is_first():
            progress.keep_log(begun.folder / "study.log")
        begun.facts = processes.from_first(lambda: _without_lost(begun))
        folder = passes.spill_folder(begun, work.resources)
        doing = "keeping hidden states there"
        with _owned(lambda: files.locked_directory(folder, doing)):
            progress.stage("layers")
            passes.run_passes(begun, work, folder, progress)
            processes.from_first(
                lambda: _analyze(begun, work, suppression, figures, progress)
            )
            shutil.rmtree(folder, ignore_errors=True)


def _owned(
    lock: Callable[[], contextlib.AbstractContextManager],
) -> contextlib.AbstractContextManager:
    """The first process's lock, for all of them."""
    return lock() if processes.is_first() else contextlib.nullcontext()


def _without_lost(begun: Study) -> Facts:
    """What the study says when layers whose candidates are lost count as not done."""
    ngrams = begun.identity.settings.ngrams
    if ngrams and (lost := candidates.layers_without(begun)):
        begun.forget_layers(lost)
    return begun.facts


def _analyze(
    begun: Study, work: job.Job, suppression: bool, figures: bool, progress: Progress
) -> None:
    """What the first process does with the counts of all; then the study is complete."""
    if work.settings.ngrams:
        candidates.join(begun)
    model = work.model if suppression else None
    analyze.analyze(begun, model, analyze.Thresholds(), begun, figures, progress)
    seconds = {name: round(each, 3) for name, each in progress.seconds.items()}
    begun.finish(seconds)


@contextlib.contextmanager
def _interruptible(begun: Study) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = len(begun.done_layers)
        raise errors.InterruptedRunError(
            f"interrupted with {done} layers done"
        ) from None

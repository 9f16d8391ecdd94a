"""A study in one call: streams, counts, analyses, and continues after an interruption.

In: a model, its text, a place. Out: a finished study on disk.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from jaxneurons import devices, errors
from jaxneurons.analysis import analyze, drawing
from jaxneurons.command import cache as caches
from jaxneurons.command.progress import Progress
from jaxneurons.disk import files, folders, places
from jaxneurons.disk.places import Folder, Place
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
from jaxneurons.studies import candidates, mirror, opening, results
from jaxneurons.studies.directory import Study
from jaxneurons.studies.results import Results
from jaxneurons.text.windows import Windows


def study(
    model: Model,
    text: Windows,
    path: os.PathLike | str | Place,
    *,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "float32",
    ngrams: bool = True,
    examples: int = 16,
    candidate_share: float | str = 0.95,
    candidate_coverage: int = 64,
    suppression: bool = True,
    figures: bool = True,
    resume: bool = False,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Results:
    """Studies a model on text, as `scripts/study.py` does: which neurons fire, when, and on what.

    >>> result = jaxneurons.study(model, text, "studies/demo")
    >>> dead_share = result.neurons()["dead"].mean()

    Args:
        model: as `open_model` gives it.
        text: as `load_text` gives it.
        path: the study's directory, which must not exist or be empty unless `resume`; or its address,
            gs://BUCKET/PATH or s3://BUCKET/PATH. The latter is worked on in a local folder, in the
            spill directory or the cache, and sent there after every layer.
        layers: first and last to report, both included; None is all. Those below still run.
        windows_per_batch: windows that each device takes at a time; None is about 2,048 tokens,
            16,384 on accelerators.
        dtype: to compute in: "float32", "bfloat16" or "float16".
        ngrams: whether n-grams are counted.
        examples: windows kept for each neuron in which it is at its highest, and as many in which
            it is active chosen at random; 0 keeps none.
        candidate_share, candidate_coverage: n-grams are kept of neurons whose coverage at this
            share is at most that: the lowest share, and the largest coverage, that another analysis
            of the study may ask for.
        suppression: whether to find which tokens each neuron promotes and suppresses.
        figures: whether the paper's figures are drawn.
        resume: continue an unfinished study of the same model, text and settings, or begin one
            where there is none.
        resources: what may be used of the machine; None is the defaults of `Resources`.
        progress: what reports progress; None shows a bar on a terminal and in a notebook.

    Returns:
        The finished study, opened to read.

    Raises:
        JaxneuronsError: as `jaxneurons.errors` lists them; nothing finished is ever overwritten.
        InterruptedRunError: Ctrl-C or SIGTERM; `resume=True` continues.
    """
    check_kinds(model, text)
    resources, progress = resources or Resources(), progress or Progress()
    chosen = settings.resolve(
        model.config,
        window=text.tokens.shape[1],
        layers=layers,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        max_tokens=text.max_tokens,
        ngrams=ngrams,
        examples=examples,
        candidate_share=candidate_share,
        candidate_coverage=candidate_coverage,
    )
    check_passes(chosen, resources)
    per_batch = min(chosen.windows_per_batch, len(text.tokens))
    chosen = dataclasses.replace(chosen, windows_per_batch=per_batch)
    mesh = devices.make_mesh(resources.devices)
    work = job.make_job(model.store, text, chosen, resources, mesh)
    # Before anything is written: a study that cannot run should not be begun.
    if figures:
        drawing.require_matplotlib()
    plan = passes.check_resources(work)
    _announce(model, work, plan, progress)
    path = places.parse(path)
    begun = _begin(model, work, path, resume)
    with begun.locked(), _interruptible(begun), devices.unguarded(), progress:
        progress.keep_log(begun.folder / "study.log")
        _finish(begun, work, suppression, figures, progress)
    if isinstance(path, Place):
        folders.remove_tree(begun.path)
    return results.open_study(path)


def _begin(model: Model, work: job.Job, path: Folder, resume: bool) -> Study:
    """A new study, or with `resume` the one that is there."""
    identity = beginning.identify(model.store, model.name, work.windows, work.settings)
    is_new = not resume or files.is_free(path)
    tokenizer = model.store.read_tokenizer() if is_new else None
    if isinstance(path, pathlib.Path):
        if is_new:
            beginning.create(path, work.windows, tokenizer, identity)
        return opening.resume(path, identity)
    copy = mirror.Mirror(_local_folder(path, work.resources), path)
    if is_new:
        opening.refuse_taken(path)
        copy.clear()
        beginning.create(copy.folder, work.windows, tokenizer, identity)
    else:
        opening.resume(path, identity)
        copy.fetch()
    begun = opening.resume(copy.folder, identity)
    if is_new:
        copy.begin(begun.facts)
    begun.saved = copy.send
    return begun


def _local_folder(place: Place, resources: Resources) -> pathlib.Path:
    """Where a study is worked on that is to be in an object store."""
    above = (resources.spill_directory or caches.directory() / "studies").absolute()
    with files.translated("write", above):
        above.mkdir(parents=True, exist_ok=True)
    address = hashlib.sha256(place.url.encode()).hexdigest()[:16]
    return above / f"{place.name[:100]}-{address}"


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
    ngrams = work.settings.ngrams
    if ngrams and (lost := candidates.layers_without(begun)):
        begun.forget_layers(lost)
    folder = passes.spill_folder(begun, work.resources)
    with files.locked_directory(folder, "keeping hidden states there"):
        passes.run_passes(begun, work, folder, progress)
        if ngrams:
            candidates.join(begun)
        model = work.model if suppression else None
        analyze.analyze(begun, model, analyze.Thresholds(), begun, figures, progress)
        begun.finish()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _interruptible(begun: Study) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = len(begun.done_layers)
        raise errors.InterruptedRunError(
            f"interrupted with {done} layers done"
        ) from None

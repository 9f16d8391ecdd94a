"""A study from a stored model and text: streams, counts, analyses, and goes on after an interruption.

In: a layer store, text sources, settings. Out: a finished study on disk.
"""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence

from jaxneurons import devices, errors
from jaxneurons.analysis import analyze
from jaxneurons.command.progress import Progress
from jaxneurons.disk import files
from jaxneurons.run import announcement, beginning, memory_plan, passes
from jaxneurons.run.settings import Resources, Settings, check_passes
from jaxneurons.store import reading
from jaxneurons.studies import candidates, study
from jaxneurons.text import corpus


def run_study(
    model: reading.Store,
    model_name: str,
    sources: Sequence[tuple[str, pathlib.Path]],
    path: pathlib.Path,
    settings: Settings,
    cache_directory: pathlib.Path | None,
    resume: bool = False,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> list[pathlib.Path]:
    """Studies a model on text.

    Args:
        model: the layer store.
        model_name: what figures call it.
        sources: name and path of each domain's text.
        path: the study's directory.
        settings: what decides the numbers.
        cache_directory: where tokenized text is kept; None keeps none.
        resume: go on with an unfinished study of the same model, text and settings; begin where
            there is none.
        resources: what it may use; None is what `Resources` has as defaults.
        progress: what it says while it runs; None shows a bar to who watches.

    Returns:
        The figures written.

    Raises:
        JaxneuronsError: as `errors` lists them; nothing finished is ever overwritten.
        InterruptedRunError: Ctrl-C or SIGTERM; `resume=True` goes on.
    """
    resources = resources or Resources()
    progress = progress or Progress()
    check_passes(settings, resources)
    mesh = devices.make_mesh(resources.devices)
    progress.log_line(announcement.model(model_name, model, settings))
    progress.log_line(announcement.device(mesh))
    tokenizer = read_tokenizer(model)
    windows = corpus.load_windows(
        sources,
        tokenizer,
        model.config,
        settings.window,
        settings.max_tokens,
        cache_directory,
    )
    per_batch = min(settings.windows_per_batch, len(windows.tokens))
    settings = dataclasses.replace(settings, windows_per_batch=per_batch)
    # Before anything is written: a study that cannot run should not be begun.
    progress.log_line(announcement.text(windows, model.config))
    plan = passes.check_resources(model, windows, settings, resources, mesh)
    progress.log_line(announcement.memory(plan, memory_plan.budgets(resources), mesh))
    identity = beginning.identify(model, model_name, windows, settings)
    if not resume or files.is_free(path):
        beginning.create(path, model.config, windows, tokenizer, identity, settings)
    record = study.resume(path, identity)
    with record.locked(), _interruptible(record), progress:
        progress.keep_log(record.path / "study.log")
        if settings.ngrams and (lost := candidates.layers_without(record)):
            record.forget_layers(lost)
        passes.run_passes(record, model, windows, settings, resources, mesh, progress)
        if settings.ngrams:
            candidates.join(record)
        analyze.analyze(record, model, analyze.Thresholds(), record.path)
        record.finish()
        shutil.rmtree(passes.spill_folder(record, resources), ignore_errors=True)
    return sorted((record.path / "figures").iterdir())


def read_tokenizer(model: reading.Store) -> corpus.Tokenizer | None:
    """The tokenizer that the store carries; None where it has none."""
    contents = model.tokenizer_files()
    if not contents:
        return None
    with (
        files.translated("write", tempfile.gettempdir()),
        tempfile.TemporaryDirectory() as folder,
    ):
        for name, content in contents.items():
            (pathlib.Path(folder) / name).write_bytes(content)
        return corpus.load_tokenizer(pathlib.Path(folder), model.config)


@contextlib.contextmanager
def _interruptible(record: study.Study) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = len(record.done_layers)
        raise errors.InterruptedRunError(
            f"{record.path}: interrupted with {done} layers done"
        ) from None

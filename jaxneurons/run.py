"""A study from a stored model and text: streams, counts, analyses, and goes on after an interruption.

In: a layer store, text sources, settings. Out: a finished study on disk.
"""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxneurons import (
    corpus,
    devices,
    errors,
    hidden,
    ngram_coverage,
    reductions,
    store,
    stream,
    study,
    study_beginning,
    study_contents,
)
from jaxneurons.analysis import analyze
from jaxneurons.config import OPTConfig
from jaxneurons.corpus import Windows
from jaxneurons.devices import Spread
from jaxneurons.progress import Progress
from jaxneurons.settings import Resources, Settings
from jaxneurons.stats import activation


def run_study(
    model: store.Store,
    model_name: str,
    sources: Sequence[tuple[str, pathlib.Path]],
    path: pathlib.Path,
    settings: Settings,
    cache_directory: pathlib.Path | None,
    resume: bool = False,
    resources: Resources | None = None,
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

    Returns:
        The figures written.

    Raises:
        JaxneuronsError: as `errors` lists them; nothing finished is ever overwritten.
        InterruptedRunError: Ctrl-C or SIGTERM; `resume=True` goes on.
    """
    resources = resources or Resources()
    mesh = devices.make_mesh(resources.devices)
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
    identity = study_beginning.identify(model, model_name, windows, settings)
    if not (resume and path.exists()):
        study_beginning.create(
            path, model.config, windows, tokenizer, identity, settings
        )
    record = study.resume(path, identity)
    with record.locked(), _interruptible(record):
        if lost := study_contents.layers_without_candidates(record):
            record.forget_layers(lost)
        spread = Spread(len(windows.tokens), settings.windows_per_batch, mesh)
        _run_layers(record, model, windows, settings, resources, spread)
        study_contents.join_candidates(record)
        analyze.analyze(record, model, analyze.Thresholds(), record.path)
        record.finish()
    return sorted((record.path / "figures").iterdir())


def read_tokenizer(model: store.Store) -> corpus.Tokenizer | None:
    """The tokenizer that the store carries; None where it has none."""
    contents = model.tokenizer_files()
    if not contents:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            (pathlib.Path(folder) / name).write_bytes(content)
        return corpus.load_tokenizer(pathlib.Path(folder), model.config)


def make_reduction(
    config: OPTConfig, windows: Windows, spread: Spread
) -> reductions.Reduction:
    """All that a study counts, as one reduction."""
    domains = len(windows.names)
    length = windows.tokens.shape[1]
    return reductions.chain(
        reductions.activation_counts(domains, config.ffn_dim),
        reductions.position_counts(domains, length, config.ffn_dim),
        ngram_coverage.ngram_coverage(
            windows.tokens,
            windows.lengths,
            config.special_tokens,
            config.ffn_dim,
            spread=spread,
        ),
    )


def _run_layers(
    record: study.Study,
    model: store.Store,
    windows: Windows,
    settings: Settings,
    resources: Resources,
    spread: Spread,
) -> None:
    """Runs what is not done yet and writes each layer as it ends."""
    stop = settings.last_layer + 1
    if len(record.done_layers) == stop:
        return
    batches = stream.make_batches(windows, model.config, spread)
    tokens = [int(np.asarray(batch.valid).sum()) for batch in batches]
    reduction = make_reduction(model.config, windows, spread)
    size = batches[0].tokens.size * model.config.hidden_size
    stream_bytes = len(batches) * size * jax.numpy.dtype(settings.dtype).itemsize
    on_disk = stream_bytes > resources.hidden_states_bytes
    # On disk the copy of a layer is where the next one reads from.
    every = resources.checkpoint_every
    every = min(1, every) if on_disk else every
    with (
        _checkpoint(record, model, settings, spread, every) as checkpoint,
        Progress(record.path / "study.log", "tokens x layers") as progress,
    ):
        residual = (
            hidden.OnDisk(checkpoint, len(batches))
            if on_disk
            else hidden.InMemory(checkpoint)
        )
        start = _resume_point(record, checkpoint, spread.parts)
        progress.start(sum(tokens) * (stop - start))
        for result in stream.run_layers(
            model,
            batches,
            reduction,
            settings.dtype,
            range(start, stop),
            residual,
            on_batch=lambda index: progress.advance(tokens[index]),
        ):
            if result.layer in record.done_layers:
                continue
            if result.layer in record.asked_layers:
                _write_layer(record, model.config, result, reduction)
            # Without those of parts that only fill the last batch up.
            checksums = result.checksums[: spread.parts]
            record.finish_layer(_entry(result, residual.kind), checksums)
            progress.log_line(
                f"layer {result.layer} of {stop}: {result.seconds:.2f} s, "
                f"{sum(tokens) / result.seconds:.0f} tokens/s, "
                f"{result.wait_seconds:.2f} s waiting for weights"
            )


def _entry(result: stream.LayerResult, hidden_states: str) -> dict[str, Any]:
    """What study.json says of a layer that is done."""
    return {
        "layer": result.layer,
        "seconds": round(result.seconds, 3),
        "wait_seconds": round(result.wait_seconds, 3),
        "hidden_states": hidden_states,
    }


def _checkpoint(
    record: study.Study,
    model: store.Store,
    settings: Settings,
    spread: Spread,
    every: int,
) -> hidden.Checkpoint:
    shape = (spread.windows_at_once, settings.window, model.config.hidden_size)
    dtype = np.dtype(jax.numpy.dtype(settings.dtype))
    sharding = devices.sharded(spread.mesh)
    return hidden.Checkpoint(record.partial, shape, dtype, every, sharding)


def _resume_point(
    record: study.Study, checkpoint: hidden.Checkpoint, parts: int
) -> int:
    """The layer to start at: that after the copy of the residual stream, or 0 without a whole one."""
    saved = record.manifest.get("resume_from")
    if saved is None or len(saved["checksums"]) != parts:
        return 0
    whole = checkpoint.holds(saved["layer"], saved["checksums"])
    return saved["layer"] + 1 if whole else 0


def _write_layer(
    record: study.Study,
    config: OPTConfig,
    result: stream.LayerResult,
    reduction: reductions.Reduction,
) -> None:
    found = reduction.finalize(result.state)
    low, high = layer_preactivation_bounds(config, result.params)
    found |= {"min_preactivation": low, "max_preactivation": high}
    candidates = {name: found.pop(name) for name in list(found) if "candidate" in name}
    for name, data in found.items():
        record.write_layer(name, result.layer, data)
    study_contents.save_candidates(record, result.layer, candidates)


def layer_preactivation_bounds(
    config: OPTConfig, params: Mapping[str, Any]
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
def _interruptible(record: study.Study) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = len(record.done_layers)
        raise errors.InterruptedRunError(
            f"interrupted with {done} layers done; go on by --resume"
        ) from None

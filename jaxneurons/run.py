"""A study from a stored model and text: streams, counts, analyses, and goes on after an interruption.

In: a layer store, text sources, settings. Out: a finished study on disk.
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxneurons import (
    corpus,
    errors,
    hidden,
    ngram_coverage,
    reductions,
    store,
    stream,
    study,
    study_contents,
)
from jaxneurons.analysis import analyze
from jaxneurons.config import OPTConfig
from jaxneurons.corpus import Windows
from jaxneurons.progress import Progress
from jaxneurons.settings import Settings
from jaxneurons.stats import activation

# Packages whose version may change a bit of the result.
VERSIONED = ("jaxneurons", "jax", "jaxlib", "flax", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use of the machine; decides no number.

    Attributes:
        hidden_states_bytes: most memory for the residual stream of all windows; more goes to disk.
        checkpoint_every: layers between copies of it to disk, from which a killed run goes on; 0
            makes none, and a resumed run recomputes it. On disk it is its own copy.
    """

    hidden_states_bytes: int = dataclasses.field(
        default_factory=lambda: _physical_memory() // 2
    )
    checkpoint_every: int = 1


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
        resume: go on with an unfinished study of the same model, text and settings.
        resources: what it may use; None is what `Resources` has as defaults.

    Returns:
        The figures written.

    Raises:
        JaxneuronsError: as `errors` lists them; nothing finished is ever overwritten.
        InterruptedRunError: Ctrl-C or SIGTERM; `resume=True` goes on.
    """
    tokenizer = read_tokenizer(model)
    windows = corpus.load_windows(
        sources,
        tokenizer,
        model.config,
        settings.window,
        settings.max_tokens,
        cache_directory,
    )
    identity = _identity(model, model_name, windows, settings)
    if not resume:
        _create(path, model.config, windows, tokenizer, identity, settings)
    record = study.resume(path, identity)
    with record.locked(), _interruptible(record):
        _run_layers(record, model, windows, settings, resources or Resources())
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
    config: OPTConfig, windows: Windows, settings: Settings
) -> reductions.Reduction:
    """All that a study counts, as one reduction."""
    domains = len(windows.names)
    count, length = windows.tokens.shape
    return reductions.chain(
        reductions.activation_counts(domains, config.ffn_dim),
        reductions.position_counts(domains, length, config.ffn_dim),
        ngram_coverage.ngram_coverage(
            windows.tokens,
            windows.lengths,
            config.special_tokens,
            config.ffn_dim,
            windows_padded=count + -count % settings.windows_per_batch,
        ),
    )


def _create(
    path: pathlib.Path,
    config: OPTConfig,
    windows: Windows,
    tokenizer: corpus.Tokenizer | None,
    identity: Mapping[str, Any],
    settings: Settings,
) -> None:
    asked = range(settings.first_layer, settings.last_layer + 1)
    sizes = {
        "window": len(windows.tokens),
        "position": windows.tokens.shape[1],
        "domain": len(windows.names),
        "domain_or_all": len(windows.names) + 1,
        "n": len(study_contents.ORDERS),
        "layer": config.num_hidden_layers,
        "neuron": config.ffn_dim,
    }
    with study.creating(path, identity, asked) as record:
        record.write_group({"domains": list(windows.names)})
        specs = study_contents.array_specs(most_windows(identity))
        for name, spec in specs.items():
            record.create_array(name, [sizes[d] for d in spec.dimensions], spec)
        record.write_array("tokens", windows.tokens)
        record.write_array("window_length", windows.lengths)
        record.write_array("window_domain", windows.domains)
        _write_vocabulary(record, config, windows, tokenizer)


def _write_vocabulary(
    record: study.Study,
    config: OPTConfig,
    windows: Windows,
    tokenizer: corpus.Tokenizer | None,
) -> None:
    """Ids mean something if the tokenizer has them; without one, if the text or a lower id does."""
    ids = range(config.vocab_size)
    named = tokenizer.vocabulary if tokenizer else {}
    pieces = [named.get(token, f"<id {token}>") for token in ids]
    real = max([*named, int(windows.tokens.max())]) + 1
    study_contents.write_vocabulary(record, pieces, real)


def _run_layers(
    record: study.Study,
    model: store.Store,
    windows: Windows,
    settings: Settings,
    resources: Resources,
) -> None:
    """Runs what is not done yet and writes each layer as it ends."""
    stop = settings.last_layer + 1
    if len(record.done_layers) == stop:
        return
    batches = stream.make_batches(windows, model.config, settings.windows_per_batch)
    tokens = [int(batch.valid.sum()) for batch in batches]
    reduction = make_reduction(model.config, windows, settings)
    with (
        _checkpoint(record, model, settings, resources) as checkpoint,
        Progress(record.path / "study.log") as progress,
    ):
        residual = hidden.place(checkpoint, len(batches), resources.hidden_states_bytes)
        start = _resume_point(record, checkpoint, len(batches))
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
            record.finish_layer(
                {
                    "layer": result.layer,
                    "seconds": round(result.seconds, 3),
                    "wait_seconds": round(result.wait_seconds, 3),
                    "hidden_states": residual.kind,
                },
                result.checksums,
            )
            progress.log_layer(
                f"layer {result.layer} of {stop}: {result.seconds:.2f} s, "
                f"{sum(tokens) / result.seconds:.0f} tokens/s, "
                f"{result.wait_seconds:.2f} s waiting for weights"
            )


def _checkpoint(
    record: study.Study, model: store.Store, settings: Settings, resources: Resources
) -> hidden.Checkpoint:
    shape = (settings.windows_per_batch, settings.window, model.config.hidden_size)
    dtype = np.dtype(jax.numpy.dtype(settings.dtype))
    every = resources.checkpoint_every
    return hidden.Checkpoint(record.partial, shape, dtype, every)


def _resume_point(
    record: study.Study, checkpoint: hidden.Checkpoint, batches: int
) -> int:
    """The layer to start at: that after the copy of the residual stream, or 0 without a whole one."""
    saved = record.manifest.get("resume_from")
    if saved is None or len(saved["checksums"]) != batches:
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


def _identity(
    model: store.Store, model_name: str, windows: Windows, settings: Settings
) -> dict[str, Any]:
    """What a resumed run must share with the run it continues, as study.json records it."""
    device = jax.local_devices()[0]
    return {
        "model": {
            "name": model_name,
            "fingerprint": model.fingerprint,
            "location": model.location,
            "dtype": model.dtype,
            "config": model.config.to_json(),
        },
        "corpus": {
            name: {
                "index": index,
                "fingerprint": windows.fingerprints[index],
                "windows": int((windows.domains == index).sum()),
                "full_windows": full_windows(windows, index),
                "tokens": int(windows.lengths[windows.domains == index].sum()),
            }
            for index, name in enumerate(windows.names)
        },
        "special_tokens": list(model.config.special_tokens),
        "settings": dataclasses.asdict(settings),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "device": {"platform": device.platform, "kind": device.device_kind},
    }


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def full_windows(windows: Windows, domain: int) -> int:
    """Windows of a domain that hold T tokens."""
    lengths = windows.lengths[windows.domains == domain]
    return int((lengths == windows.tokens.shape[1]).sum())


def most_windows(identity: Mapping[str, Any]) -> int:
    """Full windows of the domain that has most."""
    return max(domain["full_windows"] for domain in identity["corpus"].values())


@contextlib.contextmanager
def _interruptible(record: study.Study) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = len(record.done_layers)
        raise errors.InterruptedRunError(
            f"interrupted with {done} layers done; the same command with --resume goes on"
        ) from None

"""Trains a model: a `Request` in, a finished training directory out, as `run` describes it.

The same request again continues an interrupted run. Another request for the same directory is
refused, naming what differs, and nothing there is touched. Several processes, joined by `jax.distributed`, train one
model together, and the first one writes all but the checkpoints.
"""

import contextlib
import dataclasses
import os
from typing import Any

import jax

from jaxneurons import devices, errors, processes
from jaxneurons.command import agreement, compilation_cache, versions
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.disk import files, manifest
from jaxneurons.text import sources
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.training import (
    baselines,
    data,
    loop,
    numerics,
    step,
    tokenizer,
)
from jaxneurons.training import run as runs
from jaxneurons.training.request import Request

DEFAULT_VOCAB_SIZE = 4096
# Large enough to look at any tokenizer, from which the model's size follows.
_ANY_VOCABULARY = 2**31 - 1
# Packages whose version may change a bit of the result.
VERSIONED = ("jaxneurons", "jax", "jaxlib", "flax", "optax", "numpy")


@numerics.fixed()
def train(request: Request, progress: Progress | None = None) -> runs.Run:
    """Trains until all steps are done; of several processes all make the same call.

    Args:
        request: what to train.
        progress: says how far it is; None makes one.

    Raises:
        OutputExistsError: the run is finished, or something else lies at the path.
        MismatchError: an unfinished run lies there that was begun with something else, or the
            processes are to train something else.
        UsageError: sizes that make no model, or lengths that contradict each other.
        JaxneuronsError: as `loop.run_steps` and `data.load` do.
    """
    progress = progress or Progress()
    if not processes.is_first():
        progress = Progress(shown=False)
    # Before text is read, which may take long.
    request.cadence.check_keep(request.recipe.steps)
    mesh = devices.make_mesh()
    step.check_parts(request.recipe, mesh)
    _agree(request, mesh.size)
    config = _config(request, request.vocab_size or _ANY_VOCABULARY)
    request.recipe.check_layers(config.num_hidden_layers)
    progress.log_line(
        f"model: {config.num_hidden_layers} layers, {config.ffn_dim:,} neurons per layer, "
        f"computed in {request.recipe.dtype} on {mesh.size} {mesh.devices.flat[0].device_kind}"
    )
    run, text = processes.from_first(lambda: _open(request))
    for line in _summary(text):
        progress.log_line(line)
    if changed := manifest.differences("", run.machine, _machine()):
        progress.log_line(
            f"{'; '.join(changed)}: from here on, the last bits of the results may differ from "
            "those of a run that was not interrupted."
        )
    with run.locked() if processes.is_first() else contextlib.nullcontext():
        return loop.run_steps(run, request.cadence, text, progress)


def _agree(request: Request, number_of_devices: int) -> None:
    """Raises MismatchError where the processes would not train the same model."""
    agreement.require_same(
        {
            "sizes": request.sizes,
            "recipe": dataclasses.asdict(request.recipe),
            "cadence": dataclasses.asdict(request.cadence),
            "text": sources.asked(request.sources),
            "tokenizer": str(request.tokenizer),
            "vocab_size": request.vocab_size,
            "validation": [request.validation_share, request.validation_windows],
            "devices": number_of_devices,
        }
    )


def _open(request: Request) -> tuple[runs.Run, data.Data]:
    """The run at the request's path, which is begun if there is none, and its data."""
    if not runs.is_run(request.out):
        text = _begin(request)
        return runs.open_run(request.out), text
    text, run = check(request), runs.open_run(request.out)
    if run.finished:
        raise errors.OutputExistsError(
            f"{request.out} is finished: all its steps are done."
        )
    return run, text


@numerics.fixed()
def check(request: Request) -> data.Data:
    """The data of the run at the request's path, which must be the run that is requested.

    Raises:
        MismatchError: it was begun with something else.
    """
    run = runs.open_run(request.out)
    content = _tokenizer(request) if request.tokenizer else run.read_tokenizer()
    identity, text = _prepare(request, content)
    run.check_identity(identity)
    return text


def _begin(request: Request) -> data.Data:
    """Makes the directory, with the tokenizer and train.json in it."""
    with files.partial_directory(request.out, "a training run") as partial:
        content = _tokenizer(request)
        identity, text = _prepare(request, content)
        tokenizer.write(partial / runs.TOKENIZER_FOLDER, content, identity.model)
        compared = (text.training, text.validation, identity.model.vocab_size)
        losses = {
            "unigram": baselines.unigram_loss(*compared),
            "bigram": baselines.bigram_loss(*compared),
        }
        runs.Run(
            path=partial, identity=identity, machine=_machine(), baselines=losses
        ).write()
    return text


def _tokenizer(request: Request) -> bytes:
    """The `tokenizer.json` of the given tokenizer, or of one that is trained here."""
    if request.tokenizer is None:
        size = request.vocab_size or DEFAULT_VOCAB_SIZE
        return tokenizer.train(request.sources, size)
    return tokenizer.read(request.tokenizer, _config(request, _ANY_VOCABULARY))


def _config(request: Request, vocab_size: int) -> Config:
    """The model's config; sizes that make none are the request's fault, a UsageError."""
    try:
        return Config(vocab_size=vocab_size, **request.sizes)
    except errors.ConfigError as error:
        raise errors.UsageError(str(error)) from error


def _prepare(request: Request, content: bytes) -> tuple[runs.Identity, data.Data]:
    """All that decides the run's numbers, and the data."""
    found = Tokenizer.from_json(content, str(request.tokenizer or request.out))
    rows = max(found.vocabulary) + 1
    config = _config(request, request.vocab_size or rows)
    if rows > config.vocab_size:
        raise errors.UsageError(
            f"vocab_size is {config.vocab_size}, but the tokenizer has {rows} entries. "
            "Choose at least that."
        )
    text = data.load(
        request.sources,
        found,
        config,
        request.validation_share,
        request.validation_windows,
        request.cache_directory,
    )
    identity = runs.Identity(
        model=config,
        recipe=request.recipe,
        corpus={
            name: {"index": index, "fingerprint": domain.fingerprint}
            for index, (name, domain) in enumerate(text.domains.items())
        },
        windows={"training": len(text.training), "validation": len(text.validation)},
        validation_share=request.validation_share,
        tokenizer=found.digest,
        versions=versions.find(VERSIONED),
        device=_device(),
    )
    return identity, text


def _summary(text: data.Data) -> list[str]:
    """What was read of each domain, and the windows that it all makes; a line for each."""
    return [
        *(
            f"text {name}: {domain.reading.describe(domain.tokens)}"
            for name, domain in text.domains.items()
        ),
        f"{len(text.training):,} windows to train on, {len(text.validation):,} to validate on",
    ]


def _device() -> dict[str, Any]:
    first = jax.local_devices()[0]
    return {
        "platform": first.platform,
        "kind": first.device_kind,
        "count": jax.device_count(),
    }


def _machine() -> dict[str, Any]:
    """What XLA's code depends on: it may split a sum over the cores that it can use."""
    return {
        "processor": compilation_cache.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }

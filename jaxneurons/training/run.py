"""A training run from flags to a finished directory: begins one, or checks and goes on with one.

In: a `Request`. Out: a training directory, as `record` describes it. Running it again with the same
request goes on; with another one it names the difference and touches nothing.
"""

import dataclasses
import importlib.metadata
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from jaxneurons import config as configuration
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.training import baselines, data, loop, tokenizer
from jaxneurons.training import record as records
from jaxneurons.training.recipe import Recipe

DEFAULT_VOCAB_SIZE = 4096
# Will do to look at a tokenizer, from which the model's size follows.
_ANY_VOCABULARY = 2**31 - 1
# Packages whose version may change a bit of the result.
VERSIONED = ("jaxneurons", "jax", "jaxlib", "flax", "optax", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to train on what, and where to put it.

    Attributes:
        sources: name and path of each domain's text.
        out: the training directory.
        sizes: fields of `Config` but vocab_size; the longest context is the window.
        recipe: all other numbers.
        vocab_size: V; None is as many as the tokenizer has entries, 4096 if one is trained.
        tokenizer: directory of a given one; None trains one on the text.
        validation_share: of the documents of each domain, held out.
        validation_windows: most windows to validate on.
        cadence: how often what is written.
        cache_directory: where tokenized text is kept; None keeps none.
    """

    sources: tuple[tuple[str, pathlib.Path], ...]
    out: pathlib.Path
    sizes: Mapping[str, Any]
    recipe: Recipe
    vocab_size: int | None = None
    tokenizer: pathlib.Path | None = None
    validation_share: float = 0.01
    validation_windows: int = 256
    cadence: loop.Cadence = dataclasses.field(default_factory=loop.Cadence)
    cache_directory: pathlib.Path | None = None


def sizes_of(name: str) -> dict[str, Any]:
    """The sizes of a published model, its vocab_size among them.

    Raises:
        UsageError: there is no such model.
    """
    if name not in configuration.PUBLISHED:
        raise errors.UsageError(
            f"size {name!r}: wanted one of {', '.join(configuration.PUBLISHED)}"
        )
    return configuration.PUBLISHED[name].to_json()


def train(request: Request) -> records.Record:
    """Trains until all steps are done.

    Raises:
        OutputExistsError: the run is finished, or something else lies at the path.
        MismatchError: an unfinished run lies there that was begun with something else.
        UsageError: sizes that make no model, or lengths that contradict each other.
        JaxneuronsError: as `loop.run_steps` and `data.load` do.
    """
    request.cadence.check_keep(request.recipe.steps)
    _check_warmup(request.recipe)
    # Before text is read, which may take long.
    _config(request, request.vocab_size or _ANY_VOCABULARY)
    if records.is_record(request.out):
        text = check(request)
        _refuse_finished(records.open_record(request.out))
    else:
        text = _begin(request)
    record = records.open_record(request.out)
    with record.locked():
        loop.run_steps(record, request.recipe, request.cadence, text)
    loop.save_curve(record)
    return record


def _begin(request: Request) -> data.Data:
    """Makes the directory, with the tokenizer and train.json in it."""
    with files.partial_directory(request.out, "a training run") as partial:
        content = _tokenizer(request)
        config, text, identity = _prepare(request, content)
        tokenizer.write(partial / records.TOKENIZER_FOLDER, content, config)
        losses = {
            name: function(text.training, text.validation, config.vocab_size)
            for name, function in (
                ("unigram", baselines.unigram_loss),
                ("bigram", baselines.bigram_loss),
            )
        }
        records.write_entries(partial, records.new_entries(identity, losses))
    return text


def check(request: Request) -> data.Data:
    """The data of the run at the request's path, after making sure that it is the one requested.

    Raises:
        MismatchError: it was begun with something else.
    """
    record = records.open_record(request.out)
    given = request.tokenizer
    content = _tokenizer(request) if given else record.read_tokenizer()
    _, text, identity = _prepare(request, content)
    record.check_identity(identity)
    return text


def _tokenizer(request: Request) -> bytes:
    """The `tokenizer.json` of the given tokenizer, or of one that is trained here."""
    if request.tokenizer is None:
        size = request.vocab_size or DEFAULT_VOCAB_SIZE
        return tokenizer.train(request.sources, size)
    return tokenizer.read(request.tokenizer, _config(request, _ANY_VOCABULARY))


def _refuse_finished(record: records.Record) -> None:
    if record.finished:
        raise errors.OutputExistsError(
            f"{record.path} is finished: all its steps are done"
        )


def _check_warmup(recipe: Recipe) -> None:
    """Raises UsageError for a learning rate that would not even rise to its peak."""
    if recipe.warmup_steps > recipe.steps:
        raise errors.UsageError(
            f"warmup_steps {recipe.warmup_steps}: wanted at most the {recipe.steps} steps of the run"
        )


def _config(request: Request, vocab_size: int) -> Config:
    """The model's config; sizes that make none are the request's fault, a UsageError."""
    try:
        return Config(vocab_size=vocab_size, **request.sizes)
    except errors.ConfigError as error:
        raise errors.UsageError(str(error)) from error


def _prepare(
    request: Request, content: bytes
) -> tuple[Config, data.Data, dict[str, Any]]:
    """The model's config, the data, and all that decides the run's numbers."""
    found = Tokenizer.from_json(content, str(request.tokenizer or request.out))
    rows = max(found.vocabulary) + 1
    config = _config(request, request.vocab_size or rows)
    if rows > config.vocab_size:
        raise errors.UsageError(
            f"vocab_size {config.vocab_size}: the tokenizer has {rows} entries, wanted at least that"
        )
    text = data.load(
        request.sources,
        found,
        config,
        request.validation_share,
        request.validation_windows,
        request.cache_directory,
    )
    device = jax.local_devices()[0]
    identity = {
        "model": config.to_json(),
        "recipe": dataclasses.asdict(request.recipe),
        "corpus": text.fingerprints,
        "windows": {
            "training": len(text.training),
            "validation": len(text.validation),
        },
        "validation_share": request.validation_share,
        "tokenizer": found.digest,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
        },
    }
    return config, text, identity

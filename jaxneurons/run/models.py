"""Any way to name a model in, the model out: its parameters, layer by layer, and its tokenizer."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convert import cached, naming
from jaxneurons import demo, errors
from jaxneurons.command import cache as caches
from jaxneurons.command.progress import Progress
from jaxneurons.config import Config
from jaxneurons.model import embed
from jaxneurons.store import reading
from jaxneurons.studies import opening
from jaxneurons.studies.directory import Study
from jaxneurons.text.tokenizer import Tokenizer
from jaxneurons.text.windows import Windows
from jaxneurons.training import export


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model whose parameters are read when they are asked for; `open_model` makes it.

    >>> block = jaxneurons.Block(model.config)
    >>> x = model.embed(text.tokens[:2])
    >>> for layer in range(model.config.num_hidden_layers):
    ...     x, activation = block.apply({"params": model.layer(layer)}, x)
    >>> model.logits(x).shape
    (2, 64, 4096)

    Attributes:
        name: what to call it.
        store: its parameters on disk.
    """

    name: str
    store: reading.Store

    @property
    def config(self) -> Config:
        """Sizes and variant of the model."""
        return self.store.config

    @functools.cached_property
    def embedding(self) -> dict[str, Any]:
        """The parameters outside the layers, nested, on the default device."""
        # It is kept, so it must not be a tracer, even where the first call is under jit.
        with jax.ensure_compile_time_eval():
            return jax.device_put(self.store.read_embed())

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer; None where the model came without one."""
        content = self.store.read_tokenizer()
        if content is None:
            return None
        return Tokenizer.from_json(content, self.store.location)

    def embed(self, tokens: jax.typing.ArrayLike, dtype: str = "float32") -> jax.Array:
        """Looks tokens up.

        Args:
            tokens: int[B, T].
            dtype: of the residual stream, which all that follows is computed in.

        Returns:
            float[B, T, D], the residual stream before the first layer.

        Raises:
            UsageError: a token is not in the vocabulary, or T is more than the longest context.
        """
        tokens = jnp.asarray(tokens)
        self.check_tokens(tokens)
        return embed.embed(self.config, self.embedding, tokens, dtype=jnp.dtype(dtype))

    def check_tokens(self, tokens: jax.Array | np.ndarray) -> None:
        """Raises UsageError unless the model can read these tokens, int[B, T]; looks only at the shape under jit.

        The lookup itself would take the nearest row for an index outside.
        """
        longest, size = self.config.max_position_embeddings, self.config.vocab_size
        if tokens.ndim != 2 or not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise errors.UsageError(
                f"tokens are {tokens.dtype}{list(tokens.shape)}. Pass integers of two axes, windows and positions."
            )
        if tokens.shape[1] > longest:
            raise errors.UsageError(
                f"windows of {tokens.shape[1]} tokens are longer than the {longest} that {self.name} reads. "
                "Pass shorter windows."
            )
        if isinstance(tokens, jax.core.Tracer) or not tokens.size:
            return
        values = np.asarray(tokens)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= size:
            raise errors.UsageError(
                f"token {low if low < 0 else high} is not in the vocabulary of {self.name}. Its tokens are 0 to "
                f"{size - 1}."
            )

    def layer(self, layer: int) -> dict[str, Any]:
        """The parameters of a layer as `Block.apply` takes them, read from disk each time.

        Raises:
            UsageError: the model has no such layer.
            StoreError: they are damaged.
        """
        layers = self.config.num_hidden_layers
        if not 0 <= layer < layers:
            raise errors.UsageError(
                f"{self.name} has no layer {layer}. Its layers are 0 to {layers - 1}."
            )
        return jax.device_put(self.store.read_layer(layer))

    def logits(self, x: jax.Array) -> jax.Array:
        """Logits float[B, T, V] of the next token; x: float[B, T, D], after the last layer."""
        return embed.logits(self.config, self.embedding, x)


def check_kinds(model: Model, text: Windows) -> None:
    """Raises UsageError unless these are a model and text that it can read."""
    if not isinstance(model, Model):
        raise errors.UsageError(
            f"model is a {type(model).__name__}. Pass what jaxneurons.open_model gives."
        )
    if not isinstance(text, Windows):
        raise errors.UsageError(
            f"text is a {type(text).__name__}. Pass what jaxneurons.load_text gives."
        )
    model.check_tokens(text.tokens)


def open_model(
    name: os.PathLike | str | None = None,
    *,
    revision: str | None = None,
    step: int | None = None,
    ignore_attributes: Collection[str] = (),
    document_start: int | None = None,
    cache: os.PathLike | str | None = None,
) -> Model:
    """Opens a model.

    >>> model = jaxneurons.open_model("opt-1.9m")
    >>> model.config.num_hidden_layers
    4

    Args:
        name: an id on the Hugging Face hub such as "facebook/opt-125m", a directory in Hugging Face
            format, a layer store or a training directory; or one that comes with the package: "opt-0.3m",
            which None is too, "opt-1.9m", or "planted", whose weights were set by hand. A directory of
            such a name is "./planted". What is not a store is converted to one, once, in the cache, and
            a bar shows how far it is.
        revision: branch, tag or commit of a model on the hub.
        step: of a checkpoint of a training directory; None is the last.
        ignore_attributes: of the model's config.json, which do not change what it computes though
            they are unknown here; the store's manifest lists them.
        document_start: id of the token that begins every window and stands between two documents;
            None is what the model's config.json says. It is an error to use text with a model of
            which neither says it.
        cache: directory for converted models; None is $JAXNEURONS_CACHE or ~/.cache/jaxneurons.

    Raises:
        UsageError: a revision of what is not on the hub, a step of what was not trained here, or a
            token that the model does not have.
        JaxneuronsError: the model cannot be read or converted; `jaxneurons.errors` lists the kinds.
    """
    directory = pathlib.Path(cache or caches.directory())
    if name == "" or not isinstance(name, str | os.PathLike | None):
        raise errors.UsageError(
            f"{name!r} names no model. Pass an id on the hub or a directory."
        )
    text = os.fspath(demo.DEFAULT if name is None else name)
    embedded = demo.embedded(text)
    training = embedded is None and export.is_training_directory(text)
    if step is not None and not training:
        raise errors.UsageError(f"{text} is no training directory: it has no steps.")
    if revision is not None and (embedded or training):
        raise errors.UsageError(f"{text} is not on the hub: it has no revisions.")
    if embedded is not None:
        title, path = embedded
        _, store = cached.open_model(str(path), directory)
    elif training:
        title = naming.title(text)
        store = export.store_of_checkpoint(pathlib.Path(text), step, directory)
    else:
        with Progress() as progress:
            shown = progress.counter("converting", "arrays")
            title, store = cached.open_model(
                text, directory, revision, ignore_attributes, shown
            )
    return Model(title, _beginning_with(store, document_start))


def open_studied(
    study: Study, name: os.PathLike | str | None = None, **how: Any
) -> Model:
    """Opens the model of a study, which reads text as it did in the study.

    Args:
        study: of the model.
        name: as for `open_model`; None is the store where the study found it.
        how: what else `open_model` takes.

    Raises:
        MismatchError: it is another model.
        StoreError: there is no store any more, or it is damaged.
    """
    studied = study.identity.model
    if name is not None:
        store = open_model(name, **how).store
    else:
        try:
            store = reading.open_store(studied.location)
        except errors.StoreError as error:
            raise errors.StoreError(
                f"{error}. Name the model that was studied."
            ) from error
    opening.require_model(study, store.fingerprint, store.location)
    return Model(studied.name, dataclasses.replace(store, config=studied.config))


def _beginning_with(store: reading.Store, token: int | None) -> reading.Store:
    """The store, with another token to begin a document unless it is None."""
    if token is None:
        return store
    if not 0 <= token < store.config.vocab_size:
        raise errors.UsageError(
            f"The model has no token {token} to begin a document with. Choose one from 0 to "
            f"{store.config.vocab_size - 1}."
        )
    config = dataclasses.replace(store.config, document_start_token_id=token)
    return dataclasses.replace(store, config=config)

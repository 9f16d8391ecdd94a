"""Text by domain in, the windows of tokens that a model reads out."""

import os
import pathlib
from collections.abc import Mapping

from jaxneurons import demo
from jaxneurons.command import cache as caches
from jaxneurons.run.models import Model
from jaxneurons.text import corpus, windows


def load_text(
    model: Model,
    sources: Mapping[str, os.PathLike | str] | None = None,
    *,
    window: int | None = None,
    max_tokens: int | None = None,
    cache: os.PathLike | str | None = None,
) -> windows.Windows:
    """Reads text and cuts it into windows for a model; it is tokenized once and cached.

    >>> text = jaxneurons.load_text(model, window=64, max_tokens=2000)
    >>> text.tokens.shape
    (32, 64)

    Args:
        model: whose tokenizer and longest context count.
        sources: name of each domain and path of its text: a .txt file, a .jsonl file, either of
            them as .gz, or a directory of such files; None is the text that comes with the package.
        window: T, tokens per window; None is the model's longest context.
        max_tokens: most tokens, shared equally by the domains; None reads everything.
        cache: directory for tokenized text; None is $JAXNEURONS_CACHE or ~/.cache/jaxneurons.

    Raises:
        UsageError: the window or the limit means nothing for this model or these domains.
        CorpusError: the text cannot be read; the message says where.
        TokenizerError: the model has no tokenizer, and the text is not ready tokens.
    """
    named = demo.sources() if sources is None else sources.items()
    return corpus.load_windows(
        [(name, pathlib.Path(path)) for name, path in named],
        model.tokenizer,
        model.config,
        model.config.max_position_embeddings if window is None else window,
        max_tokens,
        pathlib.Path(cache or caches.directory()),
    )

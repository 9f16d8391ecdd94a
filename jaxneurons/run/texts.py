"""Text by domain in, the windows of tokens that a model reads out."""

import os
import pathlib
from collections.abc import Collection, Iterable, Mapping

from jaxneurons import demo, processes
from jaxneurons.command import agreement
from jaxneurons.command import cache as caches
from jaxneurons.run.models import Model
from jaxneurons.studies.directory import Study
from jaxneurons.text import corpora, corpus, windows
from jaxneurons.text.sources import Source, asked, make_source


def load_text(
    model: Model,
    sources: Mapping[str, os.PathLike | str | Iterable[str] | Source]
    | os.PathLike
    | str
    | None = None,
    *,
    text_key: str | None = None,
    suffixes: Collection[str] = (),
    window: int | None = None,
    max_tokens: int | None = None,
    cache: os.PathLike | str | None = None,
) -> windows.Windows:
    """Reads text and cuts it into windows for a model; text in files is tokenized once and cached.

    >>> text = jaxneurons.load_text(model, window=64, max_tokens=2000)
    >>> text.tokens.shape
    (32, 64)
    >>> mine = jaxneurons.load_text(model, {"mine": ["One document.", "Two."]}, window=64)
    >>> mine.readings[0].documents
    2

    Of several processes, which all make the same call, the first reads the text for all.

    Args:
        model: whose tokenizer and longest context count.
        sources: name of each domain, and its text: an iterable of strings, each a document; the path
            of a file or directory of any format that `text.documents` reads; or the address of a
            dataset on the Hugging Face hub, "hf://OWNER/NAME?split=train", which is read as it comes.
            Or the path of a JSON file that lists domains, as `text.corpora` reads it. None is text that
            comes with the package: index cards for opt-0.3m, running text for any other model.
        text_key: of the field of a record that holds its text; inner fields are joined by dots. None is
            "text", or "tokens" for ready tokens.
        suffixes: endings of the files that are read in a directory, such as (".py",); none reads those
            of known formats.
        window: T, tokens per window; None is the model's longest context.
        max_tokens: most tokens, shared equally by the domains; None reads everything.
        cache: directory for tokenized text; None is $JAXNEURONS_CACHE or ~/.cache/jaxneurons.

    Raises:
        UsageError: the window or the limit means nothing for this model or these domains, or a
            format takes a package that is not installed.
        CorpusError: the text cannot be read; the message says where.
        TokenizerError: the model has no tokenizer, and the text is not ready tokens.
        MismatchError: two processes ask for another text.
    """
    if sources is None:
        named: Iterable = demo.sources(model.name)
    elif isinstance(sources, str | os.PathLike):
        named = corpora.read(sources)
    else:
        named = sources.items()
    made = [(name, make_source(given, text_key, suffixes)) for name, given in named]
    longest = model.config.max_position_embeddings
    length = longest if window is None else window
    agreement.require_same(
        {"text": asked(made), "window": length, "max_tokens": max_tokens}
    )
    return processes.from_first(
        lambda: corpus.load_windows(
            made,
            model.tokenizer,
            model.config,
            length,
            max_tokens,
            pathlib.Path(cache or caches.directory()),
        )
    )


def studied_text(study: Study) -> windows.Windows:
    """The windows of a study, which are in its arrays; raises StudyError where these are damaged."""
    domains = study.identity.corpus
    return windows.Windows(
        tokens=study.read("tokens"),
        lengths=study.read("window_length"),
        domains=study.read("window_domain"),
        names=tuple(domain.name for domain in domains),
        fingerprints=tuple(domain.fingerprint for domain in domains),
    )

"""Any way to name a model in, a layer store out: what is not one is converted once and kept."""

import functools
import pathlib
from collections.abc import Callable, Collection

from convert import checkpoint, hf_config, hub, naming, opt, tokenizer
from jaxneurons import errors
from jaxneurons.store import cache, reading


def open_model(
    name: str,
    cache_directory: pathlib.Path,
    revision: str | None = None,
    ignore_attributes: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, reading.Store]:
    """Opens a layer store, or converts a Hugging Face model to one in the cache and opens that.

    Args:
        name: a store's path or URL, a Hugging Face directory, or an id on the hub.
        cache_directory: conversions are kept in its folder `stores`.
        revision: of a model on the hub.
        ignore_attributes, progress: as `opt.convert` takes them.

    Returns:
        What to call the model, and its store.

    Raises:
        JaxneuronsError: as `hub.resolve`, `opt.convert` and `store.open_store` do.
    """
    name, title = naming.model_id(name), naming.title(name)
    if reading.is_store(name):
        if revision is not None:
            raise errors.UsageError(f"{name} is a layer store: it has no revisions")
        return title, reading.open_store(name)
    directory = hub.resolve(name, revision)
    convert = functools.partial(
        opt.convert,
        directory,
        ignore_attributes=ignore_attributes,
        progress=progress,
    )
    store = cache.open_or_make(
        cache_directory,
        title,
        sorted(ignore_attributes),
        _files(directory),
        convert,
    )
    return title, store


def _files(directory: pathlib.Path) -> list[pathlib.Path]:
    """All files that a conversion reads; one that is missing is named when it is converted."""
    names = (hf_config.CONFIG_NAME, *tokenizer.NAMES)
    listed = [
        *(directory / name for name in names),
        *checkpoint.weight_files(directory),
    ]
    return [path for path in listed if path.is_file()]

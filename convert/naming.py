"""What to call a model, in whatever way it was given."""

import os
import pathlib
import re

_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^/?#]+/[^/?#]+)(?:/tree/main)?/?"
)
_CACHE_PREFIX = "models--"


def model_id(name: str) -> str:
    """The id of a model on the hub whose page's address was given; other names as they are."""
    page = _PAGE.fullmatch(name)
    return page[1] if page else name


def model_name(name: os.PathLike | str) -> str:
    """A model's id on the hub where that is known, else what its directory is called.

    The Hugging Face cache keeps "facebook/opt-125m" in
    `models--facebook--opt-125m/snapshots/<commit>`.
    """
    name = os.fspath(name)
    if not os.path.isdir(name):
        return model_id(name)
    folder = pathlib.Path(os.path.abspath(name))
    if folder.parent.name == "snapshots":
        folder = folder.parent.parent
    if folder.name.startswith(_CACHE_PREFIX):
        return folder.name.removeprefix(_CACHE_PREFIX).replace("--", "/")
    return folder.name or "model"


def title(name: os.PathLike | str) -> str:
    """The last part of a model's name: "opt-125m"."""
    return model_name(name).rstrip("/").rpartition("/")[2]

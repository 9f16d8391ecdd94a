"""What to call a model, in whatever way it was given."""

import os
import pathlib
import re

from jaxneurons import errors

# An address at the hub; under /resolve/ lie files, which may be those of a store.
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)(?:/(?P<page>(?!.*/resolve/).*))?"
)
_PAGE = re.compile(r"([^/?#]+/[^/?#]+)(?:/tree/main)?/?")
# What stands where the owner of a model would.
_NO_OWNERS = re.compile(r"(?:api|blog|collections|datasets|docs|papers|spaces)/")
_CACHE_PREFIX = "models--"


def model_id(name: str) -> str:
    """The id of a model on the hub whose page's address was given; other names as they are.

    Raises:
        UsageError: the address is of something else there.
    """
    address = _ADDRESS.fullmatch(name)
    if address is None or os.path.exists(name):
        return name
    page = _PAGE.fullmatch(address["page"] or "")
    if page is None or _NO_OWNERS.match(page[1]):
        raise errors.UsageError(
            f"{name} is not the address of a model's page. Pass the model's id, such as facebook/opt-125m."
        )
    return page[1]


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

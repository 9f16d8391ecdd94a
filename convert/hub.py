"""A model's name in, a local directory with its files out.

A name is a directory (as `save_pretrained` or git leave it, or a model's folder in the Hugging Face
cache) or an id on the hub, which is downloaded into that cache: config, tokenizer and weights in
one format, never code.
"""

import os
import pathlib
import re

import huggingface_hub
from huggingface_hub import errors as hub_errors

from convert import hf_config, tokenizer
from jaxneurons import errors
from jaxneurons.disk import files

SAFETENSORS = (
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
)
TORCH = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
OTHERS = (hf_config.CONFIG_NAME, *tokenizer.NAMES)
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
MAIN = "main"


def resolve(
    name_or_directory: os.PathLike | str, revision: str | None = None
) -> pathlib.Path:
    """The directory of a model, downloaded if need be.

    Args:
        name_or_directory: an existing directory, or an id such as "facebook/opt-125m".
        revision: branch, tag or commit on the hub; None for the main branch.

    Raises:
        UsageError: neither a directory nor an id; a revision of a plain directory.
        CheckpointError: the hub has no such model or revision, or wants a licence accepted.
        InputOutputError: the hub is out of reach and the model is not in the cache.
    """
    name = os.fspath(name_or_directory)
    # Not by pathlib, to which "" is the working directory.
    if os.path.isdir(name):
        return _local_directory(pathlib.Path(name), revision)
    if os.path.exists(name) or not HUB_ID.fullmatch(name):
        raise errors.UsageError(f"{name}: not a directory, and not an id on the hub")
    try:
        return _download(name, revision)
    except hub_errors.GatedRepoError as error:
        reason = "its licence must be accepted on the hub, and a token given"
        raise errors.CheckpointError(f"{name}: {reason}") from error
    except hub_errors.RevisionNotFoundError as error:
        raise errors.CheckpointError(f"{name}: no revision {revision}") from error
    except hub_errors.RepositoryNotFoundError as error:
        reason = "no such directory, and no such model on the hub (or a private one)"
        raise errors.CheckpointError(f"{name}: {reason}") from error
    except hub_errors.HFValidationError as error:
        raise errors.UsageError(
            f"{name}: not a directory, and not an id on the hub"
        ) from error
    except (hub_errors.HTTPError, OSError) as error:
        # Its text may run over lines and ends with advice on the cause.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise errors.InputOutputError(
            f"{name}: no such directory, and it cannot be downloaded: {reason}"
        ) from error


def _download(name: str, revision: str | None) -> pathlib.Path:
    directory = pathlib.Path(
        huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=[*OTHERS, *SAFETENSORS]
        )
    )
    if not any(directory.glob("*.safetensors*")):
        # A snapshot's folder is named after its commit, so both parts are of one.
        huggingface_hub.snapshot_download(
            name, revision=directory.name, allow_patterns=[*OTHERS, *TORCH]
        )
    return directory


def _local_directory(path: pathlib.Path, revision: str | None) -> pathlib.Path:
    """The directory itself, or one snapshot of a model's folder in the cache."""
    snapshots = path / "snapshots"
    if (path / hf_config.CONFIG_NAME).exists() or not snapshots.is_dir():
        if revision is not None:
            raise errors.UsageError(
                f"{path}: a directory has no revision {revision}, a hub id has"
            )
        return path
    commit = revision or MAIN
    reference = path / "refs" / commit
    with files.translated("read", path):
        if reference.is_file():
            commit = reference.read_bytes().decode("utf-8", "replace").strip()
        found = sorted(entry.name for entry in snapshots.iterdir())
    # What a reference says may lead out of the folder.
    if commit not in found or not (snapshots / commit).is_dir():
        raise errors.CheckpointError(
            f"{path}: no snapshot of {revision or MAIN}, there are {found}"
        )
    return snapshots / commit

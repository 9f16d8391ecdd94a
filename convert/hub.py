"""A model's name in, a local directory with its files out.

A name is a directory (as `save_pretrained` or git leave it, or a model's folder in the Hugging Face
cache), an id on the hub, or the address of its page there, which is downloaded into that cache:
config, tokenizer and weights in one format, never code.
"""

import glob
import os
import pathlib
import re

import huggingface_hub
from huggingface_hub import errors as hub_errors

from convert import checkpoint as checkpoints
from convert import hf_config, naming, tokenizer
from jaxneurons import errors
from jaxneurons.disk import files

OTHERS = (hf_config.CONFIG_NAME, checkpoints.ADAPTER, *tokenizer.NAMES)
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
MAIN = "main"
TIMEOUT_SECONDS = 10
_CHOOSE = "Check the name, or give a directory."


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
        InputOutputError: the hub is out of reach and the model is not in the cache, or a part of it.
    """
    name = naming.model_id(os.fspath(name_or_directory))
    # Not by pathlib, to which "" is the working directory.
    if os.path.isdir(name):
        return _local_directory(pathlib.Path(name), revision)
    if os.path.exists(name) or not HUB_ID.fullmatch(name):
        raise errors.UsageError(
            f"{name}: not a directory, and not an id on the hub. {_CHOOSE}"
        )
    try:
        return _download(name, revision)
    except hub_errors.GatedRepoError as error:
        raise errors.CheckpointError(
            f"{name} can be downloaded once you have accepted its licence on the hub and logged in "
            "(hf auth login)"
        ) from error
    except hub_errors.RevisionNotFoundError as error:
        raise errors.CheckpointError(f"{name} has no revision {revision}") from error
    except hub_errors.RepositoryNotFoundError as error:
        raise errors.CheckpointError(
            f"{name}: no such directory, and no such model on the hub (or a private one). {_CHOOSE}"
        ) from error
    except hub_errors.HFValidationError as error:
        raise errors.UsageError(
            f"{name}: not a directory, and not an id on the hub. {_CHOOSE}"
        ) from error
    except (hub_errors.HTTPError, OSError) as error:
        # Its text may run over lines and ends with advice on the cause.
        cause = isinstance(error, hub_errors.DryRunError) and error.__cause__ or error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise errors.InputOutputError(
            f"{name}: no such directory, and it cannot be downloaded ({reason.rstrip('.')}). {_CHOOSE}"
        ) from error


def _download(name: str, revision: str | None) -> pathlib.Path:
    preferred, other = checkpoints.SINGLE_NAMES
    directory = _fetch(name, revision, [*OTHERS, preferred, f"{preferred}.index.json"])
    # A snapshot's folder is named after its commit, so all parts are of one.
    commit = directory.name
    if not _has_weights(directory):
        _fetch(name, commit, [other, f"{other}.index.json"])
    missing = _missing_shards(directory)
    if missing or not _has_weights(directory):
        # Where the hub is out of reach, the library gives what the cache has, and does not say so.
        huggingface_hub.model_info(name, revision=commit, timeout=TIMEOUT_SECONDS)
    elif not any((directory / n).exists() for n in tokenizer.VOCABULARIES):
        # Asks the hub too, unless the library noted then what the commit has.
        names = list(tokenizer.VOCABULARIES)
        huggingface_hub.snapshot_download(
            name, revision=commit, allow_patterns=names, dry_run=True
        )
    if missing:
        _fetch(name, commit, missing)
    return directory


def _has_weights(directory: pathlib.Path) -> bool:
    return any(any(directory.glob(f"{n}*")) for n in checkpoints.SINGLE_NAMES)


def _missing_shards(directory: pathlib.Path) -> list[str]:
    if not _has_weights(directory):
        return []
    paths = checkpoints.weight_files(directory)
    return [str(p.relative_to(directory)) for p in paths if not p.exists()]


def _fetch(name: str, revision: str | None, names: list[str]) -> pathlib.Path:
    patterns = list(map(glob.escape, names))
    return pathlib.Path(
        huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=patterns
        )
    )


def _local_directory(path: pathlib.Path, revision: str | None) -> pathlib.Path:
    """The directory itself, or one snapshot of a model's folder in the cache."""
    snapshots = path / "snapshots"
    if (path / hf_config.CONFIG_NAME).exists() or not snapshots.is_dir():
        if revision is not None:
            raise errors.UsageError(
                f"{path} is a directory, which has no revision {revision}: only models on the hub do"
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
            f"{path}: no snapshot of {revision or MAIN}, only of {found}"
        )
    return snapshots / commit

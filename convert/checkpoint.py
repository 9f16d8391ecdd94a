"""The weights in a Hugging Face directory: which files they are in, and one tensor at a time.

In: a directory with one or many shards, `.safetensors` or `.bin`. Out: a table of contents and
NumPy arrays. All files are looked at before the first tensor is read, and what an index says of
them is not trusted.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convert import safetensors_file, torch_file
from convert.shard import Shard, Tensor
from jaxneurons import errors
from jaxneurons.disk import files, strict_json

# Single files, the preferred one first; shards are listed in `NAME.index.json`.
SINGLE_NAMES = ("model.safetensors", "pytorch_model.bin")
ADAPTER = "adapter_config.json"
# What a directory of study.py holds.
STUDY = "study.json"
_LFS_MAGIC = b"version https://git-lfs.github.com/spec/"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Opened shards; made by `open_checkpoint`.

    Attributes:
        directory: where they are.
        shards: by key, the file that it is in; keys in the order of files and within them.
    """

    directory: pathlib.Path
    shards: Mapping[str, Shard]

    def tensor(self, key: str) -> Tensor:
        """The shape and the type of a tensor."""
        return self.shards[key].tensors[key]

    def file_sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name in the directory."""
        paths = sorted({shard.path for shard in self.shards.values()})
        return {
            str(path.relative_to(self.directory)): path.stat().st_size for path in paths
        }

    def read(self, key: str) -> np.ndarray:
        """A whole tensor.

        Raises:
            CheckpointError: its file is damaged.
            InputOutputError: the operating system refuses.
        """
        return self.shards[key].read(key)


def weight_files(directory: pathlib.Path) -> list[pathlib.Path]:
    """The files that `open_checkpoint` reads: an index, if there is one, and the shards.

    Raises:
        CheckpointError: there are no weights, or the index is damaged.
        InputOutputError: the operating system refuses.
    """
    single = _weights_name(directory)
    index = directory / f"{single}.index.json"
    if not index.is_file():
        return [directory / single]
    names = sorted(set(_read_weight_map(index).values()))
    return [index, *(directory / name for name in names)]


def open_checkpoint(directory: pathlib.Path) -> Checkpoint:
    """Finds and checks the weights of a directory.

    Raises:
        CheckpointError: there are none, a shard is missing or damaged, or index and shards disagree.
        InputOutputError: the operating system refuses.
    """
    index, *paths = weight_files(directory)
    if problems := file_problems(paths or [index]):
        raise errors.CheckpointError(
            f"{directory}: {listing(problems)}. Perhaps the download was interrupted: run it again."
        )
    opened = {path: _open_shard(path) for path in paths or [index]}
    if paths:
        _check_keys(directory, opened, _read_weight_map(index))
    shards = {key: shard for shard in opened.values() for key in shard.tensors}
    return Checkpoint(directory, shards)


def file_problems(paths: Sequence[pathlib.Path]) -> list[str]:
    """What is wrong with files of a download as files, in words."""
    return [problem for path in paths if (problem := file_problem(path))]


def file_problem(path: pathlib.Path) -> str | None:
    """What is wrong with a file of a download as a file, in words; None if nothing is."""
    with files.translated("read", path):
        if path.is_dir():
            return f"{path.name} is a directory"
        if not path.exists():
            return f"{path.name} is missing"
        if not path.is_file():
            return f"{path.name} is not a regular file"
        with open(path, "rb") as file:
            start = file.read(1024)
    if not start:
        return f"{path.name} is empty"
    if start.startswith(_LFS_MAGIC):
        size = re.search(rb"\nsize ([0-9]{1,20})", start)
        stands_for = f" ({size[1].decode()} bytes)" if size else ""
        return f"{path.name} is a git-lfs pointer{stands_for}: run git lfs pull"
    return None


def listing(problems: Sequence[str], most: int = 20) -> str:
    """Problems as one line, which says how many were left out."""
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return "; ".join([*problems[:most], *more])


def _weights_name(directory: pathlib.Path) -> str:
    for single in SINGLE_NAMES:
        found = [
            name
            for name in (single, f"{single}.index.json")
            if (directory / name).exists() or (directory / name).is_symlink()
        ]
        if len(found) > 1:
            raise errors.CheckpointError(
                f"{directory} has both {found[0]} and {found[1]}. Remove one of them."
            )
        if found:
            return single
    if (directory / ADAPTER).is_file():
        raise errors.CheckpointError(_about_adapter(directory))
    if (directory / STUDY).is_file():
        raise errors.CheckpointError(
            f"{directory} is a study, not a model. Choose the model that was studied."
        )
    expected = " or ".join(f"{name} (or {name}.index.json)" for name in SINGLE_NAMES)
    raise errors.CheckpointError(f"{directory} has no weights: expected {expected}")


def _about_adapter(directory: pathlib.Path) -> str:
    settings = strict_json.read_object(directory / ADAPTER, errors.CheckpointError)
    kind = settings.get("peft_type") or "PEFT"
    base = settings.get("base_model_name_or_path") or "a model that it does not name"
    return (
        f"{directory} is a {kind} adapter of {base}, not a model. Merge it into that model first "
        "(with peft: model.merge_and_unload().save_pretrained(...)) and use the result."
    )


def _read_weight_map(index: pathlib.Path) -> dict[str, str]:
    """Key to shard name, checked before any shard is opened."""
    content = strict_json.read_object(index, errors.CheckpointError)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise errors.CheckpointError(f"{index} has no weight_map from keys to shards")
    suffix = pathlib.Path(index.name.removesuffix(".index.json")).suffix
    for key, name in weight_map.items():
        if not _is_safe_name(name) or not name.endswith(suffix):
            key, name = strict_json.short(key), strict_json.short(name)
            raise errors.CheckpointError(
                f"{index}: weight_map puts {key} in {name}, which does not name a {suffix} file in "
                "the directory"
            )
    return weight_map


def _is_safe_name(name: Any) -> bool:
    """Whether a path stays in its directory as written; links there may lead anywhere."""
    if not isinstance(name, str) or not name.isprintable() or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _open_shard(path: pathlib.Path) -> Shard:
    if path.suffix == ".safetensors":
        return safetensors_file.open_file(path)
    return torch_file.open_file(path)


def _check_keys(
    directory: pathlib.Path,
    opened: Mapping[pathlib.Path, Shard],
    weight_map: Mapping[str, str],
) -> None:
    """Raises CheckpointError unless every shard has the keys that the index says, and no others."""
    problems = []
    for path, shard in opened.items():
        for key in shard.tensors:
            said = weight_map.get(key, "no shard")
            if directory / said != path:
                problems.append(f"{key} is in {path.name}, the index says {said}")
    for key, name in weight_map.items():
        if key not in opened[directory / name].tensors:
            problems.append(f"{key} is not in {name}, as the index says")
    if problems:
        raise errors.CheckpointError(f"{directory}: {listing(sorted(problems))}")

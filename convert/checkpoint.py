"""The weights in a Hugging Face directory: which files they are in, and one tensor at a time.

In: a directory with one or many shards, `.safetensors` or `.bin`. Out: a table of contents and
NumPy arrays. All files are looked at before the first tensor is read, and what an index says of
them is not trusted.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from convert import safetensors_file, torch_file
from jaxneurons import errors
from jaxneurons.disk import files, strict_json

# Single files, the preferred one first; shards are listed in `NAME.index.json`.
SINGLE_NAMES = ("model.safetensors", "pytorch_model.bin")
LFS_MAGIC = b"version https://git-lfs.github.com/spec/"

ShardFile = safetensors_file.SafetensorsFile | torch_file.TorchFile


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Opened shards; made by `open_checkpoint`.

    Attributes:
        directory: where they are.
        shards: by key, the file that holds it; keys in the order of files and within them.
    """

    directory: pathlib.Path
    shards: Mapping[str, ShardFile]

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.shards[key].tensors[key].shape

    def dtype(self, key: str) -> np.dtype:
        """The type that a tensor is stored in."""
        return self.shards[key].tensors[key].dtype

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

    def pieces(self, key: str, piece_size: int) -> Iterator[np.ndarray]:
        """A tensor's elements in order, flat, in arrays of `piece_size`; the last may be smaller; raises as `read`."""
        return self.shards[key].pieces(key, piece_size)


def open_checkpoint(directory: pathlib.Path) -> Checkpoint:
    """Finds and checks the weights of a directory.

    Raises:
        CheckpointError: there are none, a shard is missing or damaged, or index and shards disagree.
        InputOutputError: the operating system refuses.
    """
    directory = pathlib.Path(directory)
    single = _weights_name(directory)
    index = directory / f"{single}.index.json"
    weight_map = _read_weight_map(index) if index.is_file() else None
    names = [single] if weight_map is None else sorted(set(weight_map.values()))
    _check_files(directory, names)
    opened = {name: _open_shard(directory / name) for name in names}
    _check_keys(directory, opened, weight_map)
    shards = {key: opened[name] for name in names for key in _ordered(opened[name])}
    return Checkpoint(directory, shards)


def weight_files(directory: pathlib.Path) -> list[pathlib.Path]:
    """The files that `open_checkpoint` reads: an index, if there is one, and the shards.

    Raises:
        CheckpointError: there are no weights, or the index is damaged.
        InputOutputError: the operating system refuses.
    """
    single = directory / _weights_name(directory)
    index = directory / f"{single.name}.index.json"
    if not index.is_file():
        return [single]
    names = sorted(set(_read_weight_map(index).values()))
    return [index, *(directory / name for name in names)]


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
    if start.startswith(LFS_MAGIC):
        size = re.search(rb"\nsize ([0-9]{1,20})", start)
        wanted = f" ({size[1].decode()} bytes)" if size else ""
        return f"{path.name} is a git-lfs pointer{wanted}: run git lfs pull"
    return None


def listing(problems: list[str], most: int = 20) -> str:
    """Problems as one line, which says how many were left out."""
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return "; ".join(problems[:most] + more)


def _weights_name(directory: pathlib.Path) -> str:
    for single in SINGLE_NAMES:
        found = [
            name
            for name in (single, f"{single}.index.json")
            if (directory / name).exists() or (directory / name).is_symlink()
        ]
        if len(found) > 1:
            raise errors.CheckpointError(
                f"{directory}: both {found[0]} and {found[1]}, wanted one of them"
            )
        if found:
            return single
    wanted = " or ".join(f"{name} (or {name}.index.json)" for name in SINGLE_NAMES)
    raise errors.CheckpointError(f"{directory}: no weights, wanted {wanted}")


def _read_weight_map(index: pathlib.Path) -> dict[str, str]:
    """Key to shard name, checked before any shard is opened."""
    weight_map = strict_json.read_object(index, errors.CheckpointError).get(
        "weight_map"
    )
    if not isinstance(weight_map, dict) or not weight_map:
        raise errors.CheckpointError(f"{index}: no weight_map from keys to shards")
    suffix = pathlib.Path(index.name.removesuffix(".index.json")).suffix
    for key, name in weight_map.items():
        if not _is_safe_name(name) or not name.endswith(suffix):
            raise errors.CheckpointError(
                f"{index}: weight_map puts {json.dumps(key)[:100]} in {json.dumps(name)[:100]}, "
                f"wanted the name of a {suffix} file below the directory"
            )
    return weight_map


def _is_safe_name(name: Any) -> bool:
    """Whether a path stays in its directory as written; links there may lead anywhere."""
    if not isinstance(name, str) or not name.isprintable() or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _check_files(directory: pathlib.Path, names: list[str]) -> None:
    problems = [file_problem(directory / name) for name in names]
    found = [problem for problem in problems if problem]
    if found:
        raise errors.CheckpointError(
            f"{directory}: {listing(found)}; download was interrupted?"
        )


def _open_shard(path: pathlib.Path) -> ShardFile:
    if path.suffix == ".safetensors":
        return safetensors_file.open_file(path)
    return torch_file.open_file(path)


def _ordered(shard: ShardFile) -> list[str]:
    """Keys in the order of their data where it is known, for reading ahead."""
    if isinstance(shard, safetensors_file.SafetensorsFile):
        return sorted(shard.tensors, key=lambda key: shard.tensors[key].begin)
    return list(shard.tensors)


def _check_keys(
    directory: pathlib.Path,
    opened: Mapping[str, ShardFile],
    weight_map: Mapping[str, str] | None,
) -> None:
    if weight_map is None:
        return
    problems = []
    for name, shard in opened.items():
        for key in shard.tensors:
            if weight_map.get(key) != name:
                said = weight_map.get(key, "no shard")
                problems.append(f"{key} is in {name}, the index says {said}")
    for key, name in weight_map.items():
        if key not in opened[name].tensors:
            problems.append(f"{key} is not in {name}, as the index says")
    if problems:
        raise errors.CheckpointError(f"{directory}: {listing(sorted(problems))}")

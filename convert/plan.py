"""Which tensor of a checkpoint becomes which array of the store, settled before any is read.

In: a checkpoint's table of contents and a config. Out: assignments that use every key and set
every array, or one error that lists all that does not fit.
"""

from collections.abc import Collection
from typing import NamedTuple

from convert import checkpoint as checkpoints
from convert import key_map
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.store import format

# The one array that a checkpoint may hold twice, under its own key and under the head's.
TIED_ARRAY = "embed/token_embedding"
HEAD_KEY = "lm_head.weight"


class Assignment(NamedTuple):
    """One array of the store, and where it comes from.

    Attributes:
        name: of the array.
        key: of the tensor.
        row: of the table of keys.
        tied_key: of another tensor that must be equal, or None.
    """

    name: str
    key: str
    row: key_map.Row
    tied_key: str | None


def assign(checkpoint: checkpoints.Checkpoint, config: Config) -> list[Assignment]:
    """The assignments, in the order of the checkpoint's data.

    Raises:
        CheckpointError: a key is missing, unexpected or there twice, or a tensor has another shape
            or type than the config says; all of these in one error.
    """
    if config.num_hidden_layers > len(checkpoint.shards):
        # Before lists are made as long as a damaged config says.
        raise errors.CheckpointError(
            f"{checkpoint.directory}: {len(checkpoint.shards)} tensors, wanted "
            f"num_hidden_layers = {config.num_hidden_layers} layers of several"
        )
    expected = format.array_shapes(config).keys()
    unexpected, found = _matched(checkpoint, expected)
    problems = [f"no key for {name}" for name in expected if name not in found]
    problems += [f"unexpected key {key}" for key in unexpected]
    for name, matches in found.items():
        for key, row in matches.items():
            problems += _tensor_problems(checkpoint, config, key, row)
        if len(matches) > 1 and not _is_tied(name, matches):
            problems.append(f"several keys for {name}: {', '.join(matches)}")
    if problems:
        raise errors.CheckpointError(
            f"{checkpoint.directory}: {checkpoints.listing(problems)}"
        )
    return [_assignment(name, matches) for name, matches in found.items()]


def _matched(
    checkpoint: checkpoints.Checkpoint, expected: Collection[str]
) -> tuple[list[str], dict[str, dict[str, key_map.Row]]]:
    """Keys that fit no array, and by array the keys that do, with their rows."""
    unexpected: list[str] = []
    found: dict[str, dict[str, key_map.Row]] = {}
    for key in checkpoint.shards:
        match = key_map.match(key)
        if match is not None and match.name in expected:
            found.setdefault(match.name, {})[key] = match.row
        elif not key_map.is_ignored(key):
            unexpected.append(key)
    return unexpected, found


def _tensor_problems(
    checkpoint: checkpoints.Checkpoint, config: Config, key: str, row: key_map.Row
) -> list[str]:
    problems = []
    wanted, shape = key_map.source_shape(row, config), checkpoint.shape(key)
    if shape != wanted:
        problems.append(f"{key} has shape {list(shape)}, wanted {list(wanted)}")
    dtype = checkpoint.dtype(key).name
    if dtype not in format.DTYPES:
        problems.append(f"{key} is {dtype}, wanted one of {sorted(format.DTYPES)}")
    return problems


def _is_tied(name: str, matches: dict[str, key_map.Row]) -> bool:
    return name == TIED_ARRAY and len(matches) == 2 and HEAD_KEY in matches


def _assignment(name: str, matches: dict[str, key_map.Row]) -> Assignment:
    # The embedding's own key before the head's.
    key, *rest = sorted(matches, key=lambda key: key == HEAD_KEY)
    return Assignment(name, key, matches[key], rest[0] if rest else None)

"""Which tensor of a checkpoint becomes which array of the store, settled before any is read.

In: a checkpoint's table of contents and a config. Out: assignments that use every key and set
every array, or one error that lists all that does not fit.
"""

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from convert import checkpoint as checkpoints
from convert import key_map
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.store import format

# Types of tensors: those of stores, and one that converts to them.
DTYPES = (*format.DTYPES, "float64")
# Problems of a kind that a message names.
_MOST = 8


class Assignment(NamedTuple):
    """One array of the store, and where it comes from.

    Attributes:
        name: of the array.
        key: of the tensor, which may hold other arrays too.
        row: of the table of keys.
        tied_key: of another tensor that must be equal, or None.
    """

    name: str
    key: str
    row: key_map.Row
    tied_key: str | None


def assign(
    checkpoint: checkpoints.Checkpoint, config: Config, table: key_map.Table
) -> list[Assignment]:
    """The assignments, in the order of the checkpoint's data.

    Args:
        checkpoint: opened.
        config: of the model.
        table: of its family's keys.

    Raises:
        CheckpointError: a key is missing, unexpected or there twice, or a tensor has another shape
            or type than the config says; all of these in one error.
    """
    if config.num_hidden_layers > len(checkpoint.shards):
        # Before lists are made as long as a damaged config says.
        raise errors.CheckpointError(
            f"{checkpoint.directory} has {len(checkpoint.shards)} tensors, too few for "
            f"{config.num_hidden_layers} layers (num_hidden_layers)"
        )
    expected = format.array_shapes(config).keys()
    unexpected, found = _matched(checkpoint, expected, table)
    problems = _key_problems(unexpected, expected, found, table)
    problems += _tensor_problems(checkpoint, config, found)
    if problems:
        raise errors.CheckpointError(f"{checkpoint.directory}: {'; '.join(problems)}")
    return [_assignment(name, matches) for name, matches in found.items()]


def _matched(
    checkpoint: checkpoints.Checkpoint, expected: Collection[str], table: key_map.Table
) -> tuple[list[str], dict[str, dict[str, key_map.Row]]]:
    """Keys that fit no array, and by array the keys that do, with their rows."""
    unexpected: list[str] = []
    found: dict[str, dict[str, key_map.Row]] = {}
    for key in checkpoint.shards:
        matches = [match for match in table.match(key) if match.name in expected]
        for match in matches:
            found.setdefault(match.name, {})[key] = match.row
        if not matches and not table.is_ignored(key):
            unexpected.append(key)
    return unexpected, found


def _key_problems(
    unexpected: Sequence[str],
    expected: Collection[str],
    found: Mapping[str, Mapping[str, key_map.Row]],
    table: key_map.Table,
) -> list[str]:
    """What is there first, then what is not."""
    if any(".lora_" in key for key in unexpected):
        merging = "model.merge_and_unload().save_pretrained(...)"
        return [f"LoRA weights are not merged into the model: with peft, use {merging}"]
    if prefix := _common_prefix(unexpected, table):
        prefixed = [key for key in unexpected if key.startswith(prefix)]
        return [
            f"remove {prefix!r} from the {len(prefixed)} keys that begin with it: {prefixed[0]}"
        ]
    missing = [name for name in expected if name not in found]
    twice = [
        f"several keys for {name}: {', '.join(matches)}"
        for name, matches in found.items()
        if len(matches) > 1 and not _is_tied(matches)
    ]
    return [
        *_some([f"unexpected key {key}" for key in unexpected]),
        *_some([f"no key for {name}" for name in missing]),
        *_some(twice),
    ]


def _common_prefix(keys: Sequence[str], table: key_map.Table) -> str:
    """What most keys have before their names, such as "module."; "" if they have nothing."""
    found = collections.Counter(filter(None, map(table.prefix, keys)))
    prefix, number = next(iter(found.most_common(1)), ("", 0))
    return prefix if 2 * number > len(keys) else ""


def _tensor_problems(
    checkpoint: checkpoints.Checkpoint,
    config: Config,
    found: Mapping[str, Mapping[str, key_map.Row]],
) -> list[str]:
    shapes: list[str] = []
    keys_of: dict[str, list[str]] = {}
    # Parts of one tensor have rows that agree on its shape.
    rows = {key: row for matches in found.values() for key, row in matches.items()}
    for key, row in rows.items():
        shape, dtype = checkpoint.tensor(key)
        fits = key_map.source_shape(row, config)
        if shape != fits:
            shapes.append(
                f"{key} has shape {list(shape)}, the config says {list(fits)}"
            )
        keys_of.setdefault(dtype, []).append(key)
    types = [
        f"{keys[0]} is {dtype}{_as_others(keys)}: expected one of {', '.join(DTYPES)}"
        for dtype, keys in keys_of.items()
        if dtype not in DTYPES
    ]
    return [*_some(shapes), *types]


def _as_others(keys: Sequence[str]) -> str:
    return f", as are {len(keys) - 1} others" if len(keys) > 1 else ""


def _some(problems: Sequence[str]) -> list[str]:
    return [checkpoints.listing(problems, _MOST)] if problems else []


def _is_tied(matches: Mapping[str, key_map.Row]) -> bool:
    return len(matches) == 2 and key_map.HEAD_KEY in matches


def _assignment(name: str, matches: Mapping[str, key_map.Row]) -> Assignment:
    # The embedding's own key before the head's.
    key, *rest = sorted(matches, key=lambda key: key == key_map.HEAD_KEY)
    return Assignment(name, key, matches[key], rest[0] if rest else None)

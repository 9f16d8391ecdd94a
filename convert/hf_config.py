"""A Hugging Face `config.json` in, a `Config` out, by the tables of `attributes`.

An attribute in none of the tables raises, unless it is said to be ignored: what is not known may
change the model. Nothing here runs code of the model's directory.
"""

import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from convert import attributes as tables
from jaxneurons import config as configuration
from jaxneurons import errors
from jaxneurons.disk import strict_json

CONFIG_NAME = "config.json"
_SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")


class Described(NamedTuple):
    """What a `config.json` says: the configuration, and the family, a key of `attributes.FAMILIES`."""

    config: configuration.Config
    family: str


def read_config(
    directory: pathlib.Path, ignored: Collection[str] = ()
) -> configuration.Config:
    """The configuration of the model in a directory; arguments and errors as of `read`."""
    return read(directory, ignored).config


def read(directory: pathlib.Path, ignored: Collection[str] = ()) -> Described:
    """The configuration and the family of the model in a directory.

    Args:
        directory: of the model.
        ignored: names of attributes in none of the tables that are known not to change the model.

    Raises:
        UsageError: an attribute to ignore is in one of the tables.
        ConfigError: `config.json` is missing or malformed, is not that of a supported family, or asks
            for something that is not supported; all such attributes are named.
        InputOutputError: the operating system refuses.
    """
    path = pathlib.Path(directory) / CONFIG_NAME
    if not os.path.isfile(path):
        raise errors.ConfigError(f"{path}: no such file. A model needs one.")
    attributes = strict_json.read_object(path, errors.ConfigError)
    family = attributes.get("model_type")
    if not isinstance(family, str) or family not in tables.FAMILIES:
        supported = " and ".join(f'"{name}"' for name in tables.FAMILIES)
        raise errors.ConfigError(
            f"{path}: model_type is {strict_json.short(family)}: only {supported} are supported"
        )
    table = tables.FAMILIES[family]
    known = table.known()
    _check_ignored(known, ignored)
    unknown = sorted(attributes.keys() - {*known, *ignored})
    problems = _problems(table, attributes)
    if unknown and not problems:
        shown = ", ".join(f"{n} ({strict_json.short(attributes[n])})" for n in unknown)
        raise errors.ConfigError(
            f"{path}: unknown attributes, which may change what the model computes: {shown}. If "
            "they do not, they can be ignored.",
            remedy={"ignore_attributes": ",".join(unknown)},
        )
    problems += [f"{name} is not supported" for name in unknown]
    if problems:
        raise errors.ConfigError(f"{path}: {'; '.join(problems)}")
    try:
        config = configuration.Config(**_fields(table, attributes))
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{path}: {_renamed(table, str(error))}") from error
    return Described(config, family)


def _check_ignored(known: Collection[str], ignored: Collection[str]) -> None:
    if refused := sorted(set(ignored) & set(known)):
        raise errors.UsageError(
            f"{', '.join(refused)} cannot be ignored: this release knows what it means. Name only "
            "attributes that are said to be unknown."
        )


def _problems(table: tables.Table, attributes: Mapping[str, Any]) -> list[str]:
    """What attributes in the tables say that is not supported."""
    short = strict_json.short
    problems = [
        f"{name} is {short(attributes[name])}: only {short(accepted[0])} is supported"
        for name, accepted in table.required.items()
        if name in attributes and not _is_one_of(attributes[name], accepted)
    ]
    for older, name in table.older_names.items():
        older_value = attributes.get(older)
        if older in attributes and attributes.get(name, older_value) != older_value:
            problems.append(f"{older} and {name} disagree")
    width = attributes.get("word_embed_proj_dim")
    # 0 would stand for "as hidden_size" in our own config.
    if width is not None and (type(width) is not int or width < 1):
        problems.append(f"word_embed_proj_dim is {short(width)}, which is not a size")
    return problems


def _fields(table: tables.Table, attributes: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {
        table.older_names.get(name, name): attributes[name] for name in attributes
    }
    fields = {
        handled.field: renamed.get(name, handled.default)
        for name, handled in table.handled.items()
    }
    if fields.get("word_embed_proj_dim") is None:
        fields["word_embed_proj_dim"] = fields["hidden_size"]
    if "n_inner" in table.handled and fields["ffn_dim"] is None:
        width = fields["hidden_size"]
        fields["ffn_dim"] = 4 * width if type(width) is int else width
    for name in _SPECIAL:
        fields[name] = _in_vocabulary(fields[name], fields["vocab_size"])
    start = fields["eos_token_id"]
    return {**fields, **table.always, "document_start_token_id": start}


def _in_vocabulary(token: Any, vocab_size: Any) -> Any:
    """The token, or None where the vocabulary does not reach as far."""
    sizes = (token, vocab_size)
    beyond = all(type(size) is int for size in sizes) and token >= vocab_size
    return None if beyond else token


def _renamed(table: tables.Table, message: str) -> str:
    """The message with attributes of `config.json` in place of fields of `Config`."""
    for name, handled in table.handled.items():
        message = re.sub(rf"\b{handled.field}\b", name, message)
    return message


def _is_one_of(value: Any, accepted: tuple[Any, ...]) -> bool:
    return any(type(value) is type(choice) and value == choice for choice in accepted)

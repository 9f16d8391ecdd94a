"""A layer store in, a Hugging Face directory of OPT or GPT-2 out: the converter's tables read backwards.

A model without positions is written with a position table of zeros, which adds nothing.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from convert import attributes, hf_config, key_map, tokenizer
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, strict_json
from jaxneurons.store import reading

# safetensors' NumPy interface has no bfloat16.
DTYPES = ("float16", "float32")
# What `config.json` says of each family beside what the model computes.
_CLASSES: Mapping[str, Mapping[str, Any]] = {
    "opt": {
        "model_type": "opt",
        "architectures": ["OPTForCausalLM"],
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "gpt2": {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
    },
}


def write_huggingface(
    model: reading.Store, path: os.PathLike | str, dtype: str = "float32"
) -> None:
    """Writes config, weights and tokenizer, as `transformers` reads them.

    Args:
        model: opened layer store; all of it is held in memory at once.
        path: where the directory is to be.
        dtype: "float16" or "float32".

    Raises:
        UsageError: an unknown dtype.
        ConfigError: no family has such a model.
        StoreError: the store is damaged, or has a value that overflows the type.
        OutputExistsError: path is taken.
    """
    if dtype not in DTYPES:
        raise errors.UsageError(
            f"dtype {dtype!r} is not supported. Choose one of {', '.join(DTYPES)}."
        )
    family = family_of(model.config)
    with files.partial_directory(pathlib.Path(path), "a model") as partial:
        tensors = _tensors(model, family, dtype)
        with files.translated("write", path):
            # Not by save_file, whose file nobody else may read.
            content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
            (partial / "model.safetensors").write_bytes(content)
            for name, content in _tokenizer_files(model).items():
                (partial / name).write_bytes(content)
            content = strict_json.to_bytes(
                config_attributes(model.config, family, dtype)
            )
            (partial / hf_config.CONFIG_NAME).write_bytes(content)


def family_of(config: Config) -> str:
    """The family, a key of `attributes.FAMILIES`, whose class of transformers runs such a model.

    GPT-2's for its own activation, where the rest is GPT-2's too; else OPT's.
    """
    if config.activation_function == "gelu_new" and not _differences(config, "gpt2"):
        return "gpt2"
    if differing := _differences(config, "opt"):
        raise errors.ConfigError(
            f"no class of transformers has a model whose {' and '.join(differing)} are as here"
        )
    return "opt"


def config_attributes(config: Config, family: str, dtype: str) -> dict[str, Any]:
    """The content of `config.json`; `hf_config.read` gives the config back, but for what is said of positions."""
    handled = {
        name: getattr(config, handled.field)
        for name, handled in attributes.FAMILIES[family].handled.items()
    }
    written = {"dtype": dtype, "tie_word_embeddings": True}
    return {**handled, **_CLASSES[family], **written}


def _differences(config: Config, family: str) -> list[str]:
    """Fields in which a model is none of the family."""
    table = attributes.FAMILIES[family]
    # The position table is written with as many rows before position 0 as the family has.
    always = {k: v for k, v in table.always.items() if k != "position_offset"}
    differing = [
        name for name, value in always.items() if getattr(config, name) != value
    ]
    has_width = "word_embed_proj_dim" in table.handled
    if config.has_projections and not has_width:
        differing.append("word_embed_proj_dim")
    return differing


def _tokenizer_files(model: reading.Store) -> dict[str, bytes]:
    content = model.read_tokenizer()
    if content is None:
        return {}
    settings = tokenizer.settings(content, model.config)
    return {tokenizer.FILE: content, tokenizer.SETTINGS: strict_json.to_bytes(settings)}


def _tensors(model: reading.Store, family: str, dtype: str) -> dict[str, np.ndarray]:
    """All tensors by their Hugging Face keys."""
    config, embedding = model.config, model.read_embed()
    offset = attributes.FAMILIES[family].always["position_offset"]
    if config.positions == "none":
        rows = config.max_position_embeddings + offset
        table = np.zeros((rows, config.hidden_size), np.float32)
        embedding["position_embedding"] = table
    elif config.position_offset != offset:
        table = embedding["position_embedding"][config.position_offset :]
        embedding["position_embedding"] = np.pad(table, ((offset, 0), (0, 0)))
    written = dataclasses.replace(config, position_offset=offset)
    parts = [("", embedding)]
    parts += [(str(i), model.read_layer(i)) for i in range(config.num_hidden_layers)]
    tensors: dict[str, np.ndarray] = {}
    for layer, parameters in parts:
        flat = traverse_util.flatten_dict(parameters, sep="/")
        tensors |= _group(flat, layer, written, family, dtype)
    return tensors


def _group(
    parameters: dict[str, np.ndarray],
    layer: str,
    config: Config,
    family: str,
    dtype: str,
) -> dict[str, np.ndarray]:
    """The tensors of a layer, or of what is outside of them, by key."""
    parts: dict[str, list[np.ndarray]] = {}
    for row in key_map.TABLES[family].rows:
        if row.path in parameters and row.key != key_map.HEAD_KEY:
            tensor = _source_tensor(row, config, parameters[row.path])
            key = row.key.replace("*", layer)
            parts.setdefault(key, []).append(_cast(tensor, dtype, row.path))
    return {key: np.concatenate(found, axis=-1) for key, found in parts.items()}


def _source_tensor(row: key_map.Row, config: Config, values: np.ndarray) -> np.ndarray:
    """The tensor, or the part of it, that `key_map.transform` makes these values of."""
    shape = key_map.source_shape(row._replace(part=None), config)
    if key_map.is_transposed(row):
        return key_map.transpose(values.reshape(shape[::-1]))
    return np.ascontiguousarray(values.reshape(shape))


def _cast(tensor: np.ndarray, dtype: str, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = tensor.astype(dtype)
    if np.isinf(cast).any() and not np.isinf(tensor.astype(np.float32)).any():
        raise errors.StoreError(f"{name} has values too large for {dtype}")
    return cast

"""A layer store in, a Hugging Face OPT directory out: the converter's table read backwards.

A model without positions is written with a position table of zeros, which adds nothing.
"""

import os
import pathlib
import re
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from convert import hf_config, key_map, tokenizer
from jaxneurons import errors
from jaxneurons.config import POSITION_OFFSET, Config
from jaxneurons.disk import files, strict_json
from jaxneurons.store import reading

# safetensors' NumPy interface has no bfloat16.
DTYPES = ("float16", "float32")


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
        StoreError: the store is damaged, or has a value that overflows the type.
        OutputExistsError: path is taken.
    """
    if dtype not in DTYPES:
        raise errors.UsageError(
            f"dtype {dtype!r} is not supported. Choose one of {', '.join(DTYPES)}."
        )
    with files.partial_directory(pathlib.Path(path), "a model") as partial:
        tensors = _tensors(model, dtype)
        with files.translated("write", path):
            # Not by save_file, whose file nobody else may read.
            content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
            (partial / "model.safetensors").write_bytes(content)
            for name, content in _tokenizer_files(model).items():
                (partial / name).write_bytes(content)
            content = strict_json.to_bytes(config_attributes(model.config, dtype))
            (partial / hf_config.CONFIG_NAME).write_bytes(content)


def config_attributes(config: Config, dtype: str) -> dict[str, Any]:
    """The content of `config.json`; `hf_config.read_config` gives the config back, but for `positions`."""
    handled = {
        name: getattr(config, handled.field)
        for name, handled in hf_config.HANDLED.items()
    }
    return handled | {
        "model_type": "opt",
        "architectures": ["OPTForCausalLM"],
        "dtype": dtype,
        "tie_word_embeddings": True,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }


def _tokenizer_files(model: reading.Store) -> dict[str, bytes]:
    content = model.read_tokenizer()
    if content is None:
        return {}
    settings = tokenizer.settings(content, model.config)
    return {tokenizer.FILE: content, tokenizer.SETTINGS: strict_json.to_bytes(settings)}


def _tensors(model: reading.Store, dtype: str) -> dict[str, np.ndarray]:
    """All tensors by their Hugging Face keys."""
    config = model.config
    embedding = model.read_embed()
    if config.positions == "none":
        rows = config.max_position_embeddings + POSITION_OFFSET
        shape = (rows, config.hidden_size)
        embedding["position_embedding"] = np.zeros(shape, np.float32)
    tensors = _group(embedding, key_map.DECODER, "", config, dtype)
    for layer in range(config.num_hidden_layers):
        parameters = model.read_layer(layer)
        tensors |= _group(parameters, key_map.LAYER, f"layers.{layer}.", config, dtype)
    return tensors


def _group(
    parameters: dict[str, Any], pattern: str, prefix: str, config: Config, dtype: str
) -> dict[str, np.ndarray]:
    """The tensors of one layer, or of the embedding, whose keys match `pattern` and a name."""
    rows = {
        row.path: row
        for row in key_map.ROWS
        if row.pattern.startswith(pattern)
        and row.pattern.startswith(key_map.LAYER) == (pattern == key_map.LAYER)
    }
    tensors = {}
    for parameter, values in traverse_util.flatten_dict(parameters, sep="/").items():
        row = rows[parameter]
        name = re.sub(r"\\(.)", r"\1", row.pattern.removeprefix(pattern))
        tensor = _source_tensor(row, config, values)
        tensors[f"model.decoder.{prefix}{name}"] = _cast(tensor, dtype, parameter)
    return tensors


def _source_tensor(row: key_map.Row, config: Config, values: np.ndarray) -> np.ndarray:
    """What `key_map.transform` makes these values of."""
    shape = key_map.source_shape(row, config)
    if key_map.is_transposed(row):
        return key_map.transpose(values.reshape(shape[::-1]))
    return np.ascontiguousarray(values.reshape(shape))


def _cast(tensor: np.ndarray, dtype: str, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = tensor.astype(dtype)
    if np.isinf(cast).any() and not np.isinf(tensor.astype(np.float32)).any():
        raise errors.StoreError(f"{name} has values too large for {dtype}")
    return cast

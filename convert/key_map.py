"""ONE table: which Hugging Face key is which parameter, and how its elements are laid out.

In: a key such as `model.decoder.layers.3.fc1.weight`. Out: the row of the table that matches it,
with the parameter's path, the shape to expect and the transform. A layout names axes: `HK D` is a
matrix whose rows run over heads H and head size K, which `D H K` splits and moves to the end.
Besides the axes used everywhere, E is the width of the embedding table, P its positions.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxneurons.config import POSITION_OFFSET, Config

# Rows and columns of a tile: whole lines of the cache, even of 16-bit elements.
TILE = 64
# `OPTModel.save_pretrained` leaves `model.` out.
DECODER = r"(?:model\.)?decoder\."
LAYER = DECODER + r"layers\.(?P<layer>0|[1-9][0-9]{0,8})\."

AXES: dict[str, Callable[[Config], int]] = {
    "D": lambda config: config.hidden_size,
    "E": lambda config: config.word_embed_proj_dim,
    "F": lambda config: config.ffn_dim,
    "H": lambda config: config.num_attention_heads,
    "K": lambda config: config.head_size,
    "P": lambda config: config.max_position_embeddings + POSITION_OFFSET,
    "V": lambda config: config.vocab_size,
}


class Row(NamedTuple):
    """One kind of tensor.

    Attributes:
        pattern: regular expression of the whole key.
        path: the parameter's path within its layer, or within `embed`.
        source: layout of the tensor in the checkpoint.
        target: layout of the parameter; the same letters.
    """

    pattern: str
    path: str
    source: str
    target: str


class Match(NamedTuple):
    """A key's row, and the name of its array in a layer store."""

    row: Row
    name: str


# torch's Linear keeps [out, in] and applies the transpose.
ROWS = (
    Row(DECODER + r"embed_tokens\.weight", "token_embedding", "V E", "V E"),
    # The head is tied to the embedding; a checkpoint holds one, the other or both.
    Row(r"lm_head\.weight", "token_embedding", "V E", "V E"),
    Row(DECODER + r"embed_positions\.weight", "position_embedding", "P D", "P D"),
    Row(DECODER + r"project_in\.weight", "project_in/kernel", "D E", "E D"),
    Row(DECODER + r"project_out\.weight", "project_out/kernel", "E D", "D E"),
    Row(DECODER + r"final_layer_norm\.weight", "final_layer_norm/scale", "D", "D"),
    Row(DECODER + r"final_layer_norm\.bias", "final_layer_norm/bias", "D", "D"),
    Row(
        LAYER + r"self_attn\.q_proj\.weight", "attention/query/kernel", "HK D", "D H K"
    ),
    Row(LAYER + r"self_attn\.q_proj\.bias", "attention/query/bias", "HK", "H K"),
    Row(LAYER + r"self_attn\.k_proj\.weight", "attention/key/kernel", "HK D", "D H K"),
    Row(LAYER + r"self_attn\.k_proj\.bias", "attention/key/bias", "HK", "H K"),
    Row(
        LAYER + r"self_attn\.v_proj\.weight", "attention/value/kernel", "HK D", "D H K"
    ),
    Row(LAYER + r"self_attn\.v_proj\.bias", "attention/value/bias", "HK", "H K"),
    Row(
        LAYER + r"self_attn\.out_proj\.weight",
        "attention/output/kernel",
        "D HK",
        "H K D",
    ),
    Row(LAYER + r"self_attn\.out_proj\.bias", "attention/output/bias", "D", "D"),
    Row(
        LAYER + r"self_attn_layer_norm\.weight", "attention_layer_norm/scale", "D", "D"
    ),
    Row(LAYER + r"self_attn_layer_norm\.bias", "attention_layer_norm/bias", "D", "D"),
    Row(LAYER + r"fc1\.weight", "feed_forward/fc1/kernel", "F D", "D F"),
    Row(LAYER + r"fc1\.bias", "feed_forward/fc1/bias", "F", "F"),
    Row(LAYER + r"fc2\.weight", "feed_forward/fc2/kernel", "D F", "F D"),
    Row(LAYER + r"fc2\.bias", "feed_forward/fc2/bias", "D", "D"),
    Row(LAYER + r"final_layer_norm\.weight", "feed_forward_layer_norm/scale", "D", "D"),
    Row(LAYER + r"final_layer_norm\.bias", "feed_forward_layer_norm/bias", "D", "D"),
)

# Keys that hold no parameter.
IGNORED = (
    # A number that fairseq gave its file formats; early conversions kept it.
    DECODER + r"version",
)


def match(key: str) -> Match | None:
    """The row of a key and the name of its array; None for a key that no row knows."""
    for row in ROWS:
        found = re.fullmatch(row.pattern, key)
        if found:
            layer = found.groupdict().get("layer")
            group = "embed" if layer is None else f"layers/{int(layer):03d}"
            return Match(row, f"{group}/{row.path}")
    return None


def is_ignored(key: str) -> bool:
    """Whether a key is known to hold no parameter."""
    return any(re.fullmatch(pattern, key) for pattern in IGNORED)


def source_shape(row: Row, config: Config) -> tuple[int, ...]:
    """The shape that a tensor of this row has in a checkpoint of this config."""
    shape = []
    for group in row.source.split():
        size = 1
        for axis in group:
            size *= AXES[axis](config)
        shape.append(size)
    return tuple(shape)


def transform(row: Row, config: Config, tensor: np.ndarray) -> np.ndarray:
    """A tensor of shape `source_shape` as the parameter, contiguous."""
    if is_transposed(row):
        tensor = transpose(tensor)
    shape = [AXES[axis](config) for axis in row.target.split()]
    return np.ascontiguousarray(tensor).reshape(shape)


def is_transposed(row: Row) -> bool:
    """Whether the parameter is the tensor's transpose, its axes perhaps split; else they are the tensor's own."""
    target = row.target.replace(" ", "")
    own, transposed = row.source.split(), reversed(row.source.split())
    assert target in ("".join(own), "".join(transposed)), row
    return target != "".join(own)


def transpose(matrix: np.ndarray) -> np.ndarray:
    """A contiguous transpose, copied tile by tile so that lines of both are in the cache while they are needed."""
    transposed = np.empty(matrix.shape[::-1], matrix.dtype)
    rows, columns = transposed.shape
    for row in range(0, rows, TILE):
        for column in range(0, columns, TILE):
            tile = slice(row, row + TILE), slice(column, column + TILE)
            transposed[tile] = matrix.T[tile]
    return transposed

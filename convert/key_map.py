"""A table per family: which Hugging Face key is which parameter, and how its elements are laid out.

In: a key such as `model.decoder.layers.3.fc1.weight`. Out: the rows of the table that match it,
with the parameter's path, the shape to expect and the transform. A layout names axes: `HK D` is a
matrix whose rows run over heads H and head size K, which `D H K` splits and moves to the end.
Besides the axes used everywhere, E is the width of the embedding table, P its positions.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxneurons.config import Config

# Rows and columns of a tile: whole lines of the cache, even of 16-bit elements.
TILE = 64
# The head is tied to the embedding; a checkpoint holds one, the other or both.
HEAD_KEY = "lm_head.weight"
# Queries, keys and values.
PARTS = 3
_LAYER = r"(?P<layer>0|[1-9][0-9]{0,8})"

AXES: dict[str, Callable[[Config], int]] = {
    "D": lambda config: config.hidden_size,
    "E": lambda config: config.word_embed_proj_dim,
    "F": lambda config: config.ffn_dim,
    "H": lambda config: config.num_attention_heads,
    "K": lambda config: config.head_size,
    "P": lambda config: config.max_position_embeddings + config.position_offset,
    "V": lambda config: config.vocab_size,
}


class Row(NamedTuple):
    """One kind of tensor, or one of the parts that lie side by side in it.

    Attributes:
        key: as `save_pretrained` writes it, "*" in place of the layer's number.
        path: the parameter's path within its layer, or within `embed`; no two have the same.
        source: layout of the tensor in the checkpoint, or of the part.
        target: layout of the parameter; the same letters.
        part: which part it is, of `PARTS` along the last axis; None is the whole tensor.
    """

    key: str
    path: str
    source: str
    target: str
    part: int | None = None


class Match(NamedTuple):
    """A row that a key has, and the name of its array in a layer store."""

    row: Row
    name: str


class Table(NamedTuple):
    """The keys of a family.

    Attributes:
        rows: of parameters.
        ignored: keys that hold no parameter.
        optional: the beginning of keys that some checkpoints leave out.
    """

    rows: tuple[Row, ...]
    ignored: tuple[str, ...]
    optional: str

    def match(self, key: str) -> list[Match]:
        """The rows of a key; none for a key that is not known."""
        matches = []
        for row in self.rows:
            if found := re.fullmatch(self._pattern(row.key), key):
                layer = found.groupdict().get("layer")
                group = "embed" if layer is None else f"layers/{int(layer):03d}"
                matches.append(Match(row, f"{group}/{row.path}"))
        return matches

    def is_ignored(self, key: str) -> bool:
        """Whether a key is known to hold no parameter."""
        return any(re.fullmatch(self._pattern(own), key) for own in self.ignored)

    def prefix(self, key: str) -> str:
        """What stands before a known key, such as "module."; "" if there is no such key."""
        for row in self.rows:
            if found := re.search(rf"(?<=\.){self._pattern(row.key)}\Z", key):
                return key[: found.start()]
        return ""

    def _pattern(self, key: str) -> str:
        return _pattern(key, self.optional)


@functools.cache
def _pattern(key: str, optional: str) -> str:
    rest = key.removeprefix(optional)
    pattern = re.escape(rest).replace(re.escape("*"), _LAYER)
    return pattern if rest == key else f"(?:{re.escape(optional)})?{pattern}"


def _rows(lines: str) -> tuple[Row, ...]:
    """A row per line: its fields with bars between them."""
    rows = []
    for line in lines.strip().splitlines():
        key, path, source, target, *part = (cell.strip() for cell in line.split("|"))
        rows.append(Row(key, path, source, target, *map(int, part)))
    return tuple(rows)


# torch's Linear keeps [out, in] and applies the transpose.
_OPT = Table(
    rows=_rows("""
    model.decoder.embed_tokens.weight                  | token_embedding               | V E  | V E
    lm_head.weight                                     | token_embedding               | V E  | V E
    model.decoder.embed_positions.weight               | position_embedding            | P D  | P D
    model.decoder.project_in.weight                    | project_in/kernel             | D E  | E D
    model.decoder.project_out.weight                   | project_out/kernel            | E D  | D E
    model.decoder.final_layer_norm.weight              | final_layer_norm/scale        | D    | D
    model.decoder.final_layer_norm.bias                | final_layer_norm/bias         | D    | D
    model.decoder.layers.*.self_attn.q_proj.weight     | attention/query/kernel        | HK D | D H K
    model.decoder.layers.*.self_attn.q_proj.bias       | attention/query/bias          | HK   | H K
    model.decoder.layers.*.self_attn.k_proj.weight     | attention/key/kernel          | HK D | D H K
    model.decoder.layers.*.self_attn.k_proj.bias       | attention/key/bias            | HK   | H K
    model.decoder.layers.*.self_attn.v_proj.weight     | attention/value/kernel        | HK D | D H K
    model.decoder.layers.*.self_attn.v_proj.bias       | attention/value/bias          | HK   | H K
    model.decoder.layers.*.self_attn.out_proj.weight   | attention/output/kernel       | D HK | H K D
    model.decoder.layers.*.self_attn.out_proj.bias     | attention/output/bias         | D    | D
    model.decoder.layers.*.self_attn_layer_norm.weight | attention_layer_norm/scale    | D    | D
    model.decoder.layers.*.self_attn_layer_norm.bias   | attention_layer_norm/bias     | D    | D
    model.decoder.layers.*.fc1.weight                  | feed_forward/fc1/kernel       | F D  | D F
    model.decoder.layers.*.fc1.bias                    | feed_forward/fc1/bias         | F    | F
    model.decoder.layers.*.fc2.weight                  | feed_forward/fc2/kernel       | D F  | F D
    model.decoder.layers.*.fc2.bias                    | feed_forward/fc2/bias         | D    | D
    model.decoder.layers.*.final_layer_norm.weight     | feed_forward_layer_norm/scale | D    | D
    model.decoder.layers.*.final_layer_norm.bias       | feed_forward_layer_norm/bias  | D    | D
    """),
    # A number that fairseq gave its file formats; early conversions kept it.
    ignored=("model.decoder.version",),
    # `OPTModel.save_pretrained` leaves it out.
    optional="model.",
)

# GPT-2's Conv1D keeps [in, out], and queries, keys and values side by side.
_GPT2 = Table(
    rows=_rows("""
    transformer.wte.weight             | token_embedding               | V E  | V E
    lm_head.weight                     | token_embedding               | V E  | V E
    transformer.wpe.weight             | position_embedding            | P D  | P D
    transformer.ln_f.weight            | final_layer_norm/scale        | D    | D
    transformer.ln_f.bias              | final_layer_norm/bias         | D    | D
    transformer.h.*.ln_1.weight        | attention_layer_norm/scale    | D    | D
    transformer.h.*.ln_1.bias          | attention_layer_norm/bias     | D    | D
    transformer.h.*.attn.c_attn.weight | attention/query/kernel        | D HK | D H K | 0
    transformer.h.*.attn.c_attn.bias   | attention/query/bias          | HK   | H K   | 0
    transformer.h.*.attn.c_attn.weight | attention/key/kernel          | D HK | D H K | 1
    transformer.h.*.attn.c_attn.bias   | attention/key/bias            | HK   | H K   | 1
    transformer.h.*.attn.c_attn.weight | attention/value/kernel        | D HK | D H K | 2
    transformer.h.*.attn.c_attn.bias   | attention/value/bias          | HK   | H K   | 2
    transformer.h.*.attn.c_proj.weight | attention/output/kernel       | HK D | H K D
    transformer.h.*.attn.c_proj.bias   | attention/output/bias         | D    | D
    transformer.h.*.ln_2.weight        | feed_forward_layer_norm/scale | D    | D
    transformer.h.*.ln_2.bias          | feed_forward_layer_norm/bias  | D    | D
    transformer.h.*.mlp.c_fc.weight    | feed_forward/fc1/kernel       | D F  | D F
    transformer.h.*.mlp.c_fc.bias      | feed_forward/fc1/bias         | F    | F
    transformer.h.*.mlp.c_proj.weight  | feed_forward/fc2/kernel       | F D  | F D
    transformer.h.*.mlp.c_proj.bias    | feed_forward/fc2/bias         | D    | D
    """),
    # The causal mask and what it puts in place of scores, which older releases saved.
    ignored=("transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"),
    # `GPT2Model.save_pretrained` leaves it out, and the published gpt2 does.
    optional="transformer.",
)

# By family, as `attributes.FAMILIES`.
TABLES: Mapping[str, Table] = {"opt": _OPT, "gpt2": _GPT2}


def source_shape(row: Row, config: Config) -> tuple[int, ...]:
    """The shape that a tensor of this row has in a checkpoint of this config."""
    shape = []
    for group in row.source.split():
        size = 1
        for axis in group:
            size *= AXES[axis](config)
        shape.append(size)
    if row.part is not None:
        shape[-1] *= PARTS
    return tuple(shape)


def own_part(row: Row, tensor: np.ndarray) -> np.ndarray:
    """What of a tensor of shape `source_shape` is the row's own."""
    if row.part is None:
        return tensor
    return np.split(tensor, PARTS, axis=-1)[row.part]


def transform(row: Row, config: Config, tensor: np.ndarray) -> np.ndarray:
    """What a tensor of shape `source_shape` holds of the parameter, contiguous."""
    tensor = own_part(row, tensor)
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

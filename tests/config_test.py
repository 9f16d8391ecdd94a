"""Config: the published sizes, what is refused and how it is said, and the way to JSON and back."""

import dataclasses
import json
import math
import re

import jax
import jax.numpy as jnp
import pytest

from jaxneurons import config, errors
from jaxneurons.model import block, embed
from jaxneurons.store import format
from tests.support import cases

SMALL = config.Config(
    vocab_size=50,
    hidden_size=24,
    ffn_dim=40,
    num_hidden_layers=2,
    num_attention_heads=4,
)
# With the head tied to the embedding. The names are Zhang et al.'s, rounded.
PARAMETERS = {
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-1.3b": 1_315_758_080,
    "opt-2.7b": 2_651_596_800,
    "opt-6.7b": 6_658_473_984,
    "opt-13b": 12_853_473_280,
    "opt-30b": 29_974_540_288,
    "opt-66b": 65_719_701_504,
}


@cases.each("name", config.PUBLISHED)
def test_published_sizes_have_their_parameters(name):
    shapes = format.array_shapes(config.PUBLISHED[name])
    assert sum(map(math.prod, shapes.values())) == PARAMETERS[name]


@pytest.mark.campaign
@cases.each("name", config.PUBLISHED)
def test_published_sizes_run_through_embed_block_and_logits(name):
    published = config.PUBLISHED[name]
    tokens = jax.ShapeDtypeStruct((2, 8), jnp.int32)
    ends = _parameters(embed.parameter_shapes(published))
    layer = _parameters(block.parameter_shapes(published))

    def run(ends, layer, tokens):
        x = embed.embed(published, ends, tokens, dtype=jnp.bfloat16)
        x, activation = block.Block(published).apply({"params": layer}, x)
        return x, activation, embed.logits(published, ends, x)

    x, activation, logits = jax.eval_shape(run, ends, layer, tokens)
    assert x.shape == (2, 8, published.hidden_size)
    assert activation.shape == (2, 8, published.ffn_dim)
    assert logits.shape == (2, 8, 50272)
    assert {x.dtype, activation.dtype} == {jnp.dtype(jnp.bfloat16)}
    assert logits.dtype == jnp.float32


@cases.each("name", config.PUBLISHED)
def test_json_round_trip(name):
    published = config.PUBLISHED[name]
    read = config.Config.from_json(json.loads(json.dumps(published.to_json())))
    assert read == published
    assert hash(read) == hash(published)


def test_is_frozen_and_tells_sizes_apart_as_a_key():
    assert len(set(config.PUBLISHED.values())) == 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.ffn_dim = 1


def test_properties_of_350m_and_of_the_rest():
    small, large = config.PUBLISHED["opt-350m"], config.PUBLISHED["opt-66b"]
    assert small.has_projections and not small.has_final_layer_norm
    assert not large.has_projections and large.has_final_layer_norm
    assert large.head_size == 128
    assert large.special_tokens == (1, 2)
    bare = dataclasses.replace(large, remove_final_layer_norm=True)
    assert not bare.has_final_layer_norm


BAD = [
    *[(name, 0) for name in ("vocab_size", "hidden_size", "num_hidden_layers")],
    *[(name, 2**31) for name in ("ffn_dim", "max_position_embeddings")],
    ("num_attention_heads", -1),
    ("num_attention_heads", 5),
    ("vocab_size", True),
    ("hidden_size", 24.0),
    ("word_embed_proj_dim", "10"),
    ("bos_token_id", -1),
    ("eos_token_id", [2]),
    ("pad_token_id", 1.5),
    ("do_layer_norm_before", 1),
    ("remove_final_layer_norm", "false"),
    ("enable_bias", None),
    ("layer_norm_elementwise_affine", 0),
    ("activation_function", "silu"),
    ("layer_norm_epsilon", 0.0),
    ("layer_norm_epsilon", 1),
    ("position_offset", -1),
    ("document_start_token_id", -1),
    ("activation_function", ["relu"]),
    ("positions", "rotary"),
]


@cases.each("name, value", BAD)
def test_a_bad_value_is_named(name, value):
    with pytest.raises(errors.ConfigError) as caught:
        dataclasses.replace(SMALL, **{name: value})
    message = str(caught.value)
    assert name in message and str(value) in message
    assert "\n" not in message and len(message) < 300


def test_a_number_that_python_does_not_write_is_named_too():
    with pytest.raises(errors.ConfigError, match="ffn_dim is .* too large to write"):
        dataclasses.replace(SMALL, ffn_dim=10**5000)


def test_all_bad_values_are_named_at_once():
    with pytest.raises(errors.ConfigError) as caught:
        dataclasses.replace(SMALL, ffn_dim=-1, positions="x", enable_bias=2)
    assert all(n in str(caught.value) for n in ("ffn_dim", "positions", "enable_bias"))


def test_from_json_names_unknown_and_missing_fields():
    values = SMALL.to_json()
    del values["ffn_dim"]
    wanted = re.escape("unknown fields ['nonsense'], missing fields ['ffn_dim']")
    with pytest.raises(errors.ConfigError, match=wanted):
        config.Config.from_json(values | {"nonsense": 1})


def _parameters(shapes):
    nested = {}
    for path, shape in shapes.items():
        *folders, leaf = path.split("/")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = jax.ShapeDtypeStruct(shape, jnp.float16)
    return nested

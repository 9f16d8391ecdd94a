"""The tables of keys: one row per key or part, and rows that move elements where they belong."""

import jax
import numpy as np

from convert import key_map
from jaxneurons import config as configuration
from jaxneurons.store import format
from tests.support import cases, tiny_models

CONFIG = configuration.Config(
    vocab_size=50,
    hidden_size=24,
    ffn_dim=40,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=20,
    word_embed_proj_dim=10,
    do_layer_norm_before=False,
)


OPT, GPT2 = key_map.TABLES["opt"], key_map.TABLES["gpt2"]


def rows_matching(key):
    return [match.row for match in OPT.match(key)]


@cases.each("variant", tiny_models.VARIANTS)
def test_exactly_one_row_matches_every_key_of_every_variant(variant):
    model = tiny_models.random_model(variant)
    fields = tiny_models.SIZES | tiny_models.VARIANTS[variant]
    fields["remove_final_layer_norm"] = fields.pop("_remove_final_layer_norm", False)
    names = format.array_shapes(configuration.Config(**fields)).keys()
    for prefix in ("model.decoder.", "decoder."):
        found = set()
        for key in model.state_dict():
            written = key.replace("model.decoder.", prefix)
            assert len(rows_matching(written)) == 1, written
            found.add(OPT.match(written)[0].name)
        assert found == names


def test_rows_of_gpt2_match_every_key_and_make_every_array():
    model = tiny_models.random_gpt2()
    sizes = tiny_models.SIZES | {"vocab_size": 51, "position_offset": 0}
    config = configuration.Config(**sizes)
    for prefix in ("transformer.", ""):
        keys = [key.replace("transformer.", prefix) for key in model.state_dict()]
        parts = {key: [match.name for match in GPT2.match(key)] for key in keys}
        numbers = {len(names) for key, names in parts.items() if "c_attn" not in key}
        assert numbers == {1}
        names = {name for found in parts.values() for name in found}
        assert names == format.array_shapes(config).keys()
        assert GPT2.is_ignored(f"{prefix}h.2.attn.masked_bias")
        assert not GPT2.is_ignored(f"{prefix}h.2.attn.c_attn.bias")
    assert not GPT2.match("transformer.h.0.crossattention.c_attn.weight")


def test_no_row_matches_a_key_of_another_model():
    for key in (
        "model.decoder.layers.00.fc1.weight",
        "model.decoder.layers.-1.fc1.weight",
        "model.decoder.layers.٣.fc1.weight",
        "model.decoder.layers.1.fc1.weight\n",
        "model.decoder.layers.1.fc1.weight.lora_A",
        "module.model.decoder.layers.1.fc1.weight",
        "model.decoder.layers.1.fc3.weight",
        "modelXdecoderXlayersX1Xfc1Xweight",
        "layers.1.fc1.weight",
        "decoder.version",
        "model.decoder.lm_head.weight",
    ):
        assert rows_matching(key) == []


def test_only_the_named_keys_are_ignored():
    assert OPT.is_ignored("decoder.version")
    assert OPT.is_ignored("model.decoder.version")
    assert not OPT.is_ignored("model.decoder.versions")
    assert not OPT.is_ignored("model.decoder.embed_tokens.weight")


def test_layer_numbers_are_read_as_numbers():
    [match] = OPT.match("decoder.layers.12.fc1.weight")
    assert match.name == "layers/012/feed_forward/fc1/kernel"


def test_a_row_turns_its_source_shape_into_the_stores():
    with_norm = configuration.Config(**tiny_models.SIZES)
    for row in OPT.rows:
        config = with_norm if "final_layer_norm" in row.path else CONFIG
        shapes = format.array_shapes(config)
        (name,) = {f"layers/000/{row.path}", f"embed/{row.path}"} & shapes.keys()
        source = np.arange(np.prod(key_map.source_shape(row, config)))
        source = source.reshape(key_map.source_shape(row, config))
        moved = key_map.transform(row, config, source)
        assert moved.shape == shapes[name], row
        assert moved.flags.c_contiguous
        elements = np.sort(moved, axis=None)
        np.testing.assert_array_equal(elements, np.sort(source, axis=None))


def test_tiles_make_a_transpose():
    for shape in ((1, 1), (64, 128), (100, 130), (3, 200), (65, 0)):
        matrix = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        transposed = key_map.transpose(matrix)
        assert transposed.flags.c_contiguous and transposed.dtype == matrix.dtype
        np.testing.assert_array_equal(transposed, matrix.T)


def test_heads_are_cut_as_torch_cuts_them():
    """Row h*K + k of a query's weight is element k of head h."""
    weight = np.asarray(jax.random.normal(jax.random.key(0), (24, 24)))
    (row,) = rows_matching("model.decoder.layers.0.self_attn.q_proj.weight")
    kernel = key_map.transform(row, CONFIG, weight)
    (row,) = rows_matching("model.decoder.layers.0.self_attn.out_proj.weight")
    output = key_map.transform(row, CONFIG, weight)
    for head in range(4):
        for element in range(6):
            np.testing.assert_array_equal(
                kernel[:, head, element], weight[head * 6 + element]
            )
            np.testing.assert_array_equal(
                output[head, element], weight[:, head * 6 + element]
            )


def test_queries_keys_and_values_of_gpt2_are_the_thirds_of_one_tensor():
    weight = np.arange(24 * 72).reshape(24, 72)
    for name, tensor in (("weight", weight), ("bias", np.arange(72))):
        matches = GPT2.match(f"transformer.h.0.attn.c_attn.{name}")
        found = {match.row.path.split("/")[1]: match.row for match in matches}
        for third, part in enumerate(["query", "key", "value"]):
            assert key_map.source_shape(found[part], CONFIG) == tensor.shape
            moved = key_map.transform(found[part], CONFIG, tensor)
            assert moved.shape[-2:] == (4, 6)
            wanted = tensor[..., 24 * third : 24 * (third + 1)]
            np.testing.assert_array_equal(moved.ravel(), wanted.ravel())

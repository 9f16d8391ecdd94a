"""Whole conversions: what is in the store is what was in the checkpoint; else one clear error."""

import os
import re
import tracemalloc

import numpy as np
import pytest
from flax import traverse_util

from convert import opt
from jaxneurons import errors
from jaxneurons.store import reading
from jaxneurons.text.tokenizer import Tokenizer
from tests.support import cases, tiny_models
from tests.support.helpers import run_script

STORAGE = {
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "bin": {"suffix": ".bin"},
    "bin_bfloat16": {"suffix": ".bin", "dtype": "bfloat16"},
    "bin_in_3_shards": {"suffix": ".bin", "shards": 3},
    "safetensors_in_4_shards": {"shards": 4},
    "older_prefix": {"prefix": "decoder."},
    "head_alone": {"embedding": False, "head": True},
    "head_and_embedding": {"head": True, "shards": 2},
    "bin_head_and_embedding": {"head": True, "suffix": ".bin"},
}


def stored_arrays(path):
    """All arrays of a store by name."""
    opened = reading.open_store(path)
    nested = {"embed": opened.read_embed(), "layers": {}}
    for layer in range(opened.config.num_hidden_layers):
        nested["layers"][f"{layer:03d}"] = opened.read_layer(layer)
    return traverse_util.flatten_dict(nested, sep="/")


def expected_arrays(model, dtype):
    """The same from torch's modules, by what each computes: `x @ weight.T + bias`."""
    import torch

    decoder = model.model.decoder
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    split = (heads, width // heads)
    arrays = {}

    def add(name, tensor, shape=None):
        if tensor is not None:
            rounded = tensor.detach().to(getattr(torch, dtype)).float().numpy()
            arrays[name] = rounded if shape is None else rounded.reshape(shape)

    def add_norm(name, norm):
        if norm is not None:
            add(f"{name}/scale", norm.weight)
            add(f"{name}/bias", norm.bias)

    add("embed/token_embedding", decoder.embed_tokens.weight)
    add("embed/position_embedding", decoder.embed_positions.weight)
    for name in ("project_in", "project_out"):
        if getattr(decoder, name) is not None:
            add(f"embed/{name}/kernel", getattr(decoder, name).weight.T)
    add_norm("embed/final_layer_norm", decoder.final_layer_norm)
    for index, layer in enumerate(decoder.layers):
        base = f"layers/{index:03d}"
        for name in ("query", "key", "value"):
            linear = getattr(layer.self_attn, f"{name[0]}_proj")
            add(f"{base}/attention/{name}/kernel", linear.weight.T, (width, *split))
            add(f"{base}/attention/{name}/bias", linear.bias, split)
        output = layer.self_attn.out_proj
        add(f"{base}/attention/output/kernel", output.weight.T, (*split, width))
        add(f"{base}/attention/output/bias", output.bias)
        for name in ("fc1", "fc2"):
            add(f"{base}/feed_forward/{name}/kernel", getattr(layer, name).weight.T)
            add(f"{base}/feed_forward/{name}/bias", getattr(layer, name).bias)
        add_norm(f"{base}/attention_layer_norm", layer.self_attn_layer_norm)
        add_norm(f"{base}/feed_forward_layer_norm", layer.final_layer_norm)
    return arrays


def assert_converts(model, directory, path, dtype):
    opt.convert(directory, path)
    found, wanted = stored_arrays(path), expected_arrays(model, dtype)
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        assert array.dtype.name == dtype, name
        np.testing.assert_array_equal(array.astype(np.float32), wanted[name], name)


@cases.each("variant", tiny_models.VARIANTS)
def test_every_variant_arrives_bit_for_bit(tmp_path, variant):
    model = tiny_models.random_model(variant)
    directory = tiny_models.write(model, tmp_path / "model")
    assert_converts(model, directory, tmp_path / "store", "float32")


@cases.each(
    "storage",
    STORAGE,
    every_day=["bin_bfloat16", "bin_in_3_shards", "older_prefix", "head_alone"],
)
def test_every_way_to_store_a_checkpoint_arrives_bit_for_bit(tmp_path, storage):
    model = tiny_models.random_model("350m")
    directory = tiny_models.write(model, tmp_path / "model", **STORAGE[storage])
    dtype = STORAGE[storage].get("dtype", "float32")
    assert_converts(model, directory, tmp_path / "store", dtype)


def test_a_checkpoint_that_transformers_wrote_arrives(tmp_path):
    model = tiny_models.random_model("pre_norm")
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("model-*"))) > 1
    assert_converts(model, tmp_path / "model", tmp_path / "store", "float32")


@pytest.mark.fault(case=1)
def test_cache_snapshots_of_links_arrive(tmp_path):
    model = tiny_models.random_model()
    blobs = tiny_models.write(model, tmp_path / "blobs", shards=2)
    snapshot = tmp_path / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(f"../../blobs/{blob.name}")
    assert_converts(model, snapshot, tmp_path / "store", "float32")


def test_tokenizer_and_source_are_carried_along(tmp_path):
    snapshot = tmp_path / "models--facebook--opt-tiny" / "snapshots" / "0123"
    directory = tiny_models.write(tiny_models.random_model(), snapshot)
    (directory / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (directory / "merges.txt").write_text("#version: 0.2\na b\n")
    (directory / "README.md").write_text("not this one")
    opt.convert(directory, tmp_path / "store")
    opened = reading.open_store(tmp_path / "store")
    assert os.listdir(tmp_path / "store" / "tokenizer") == ["tokenizer.json"]
    found = Tokenizer.from_json(opened.read_tokenizer(), "the store's")
    assert found.encode(["abba"]) == [[2, 1, 0]]
    size = (directory / "model.safetensors").stat().st_size
    assert opened.manifest["source"] == {
        "format": "huggingface",
        "family": "opt",
        "name": "facebook/opt-tiny",
        "weights": {"model.safetensors": size},
        "ignored_attributes": [],
        "nonfinite_arrays": [],
    }


def test_dtype_casts(tmp_path):
    model = tiny_models.random_model()
    directory = tiny_models.write(model, tmp_path / "model")
    opt.convert(directory, tmp_path / "store", dtype="bfloat16")
    found = stored_arrays(tmp_path / "store")
    for name, wanted in expected_arrays(model, "bfloat16").items():
        assert found[name].dtype.name == "bfloat16"
        np.testing.assert_array_equal(found[name].astype(np.float32), wanted, name)


def test_progress_counts_every_array(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    seen = []
    opt.convert(directory, tmp_path / "store", progress=lambda *done: seen.append(done))
    total = len(stored_arrays(tmp_path / "store"))
    assert seen == [(done, total) for done in range(1, total + 1)]


def traced_peak(tmp_path, layers):
    """The most bytes that Python and NumPy held at once while converting so many layers."""
    sizes = {"hidden_size": 128, "ffn_dim": 512, "num_hidden_layers": layers}
    model = tiny_models.random_model(**sizes)
    directory = tiny_models.write(model, tmp_path / f"{layers}", shards=4)
    tracemalloc.start()
    opt.convert(directory, tmp_path / f"store{layers}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.campaign
def test_memory_does_not_grow_with_the_number_of_layers(tmp_path):
    traced_peak(tmp_path, 1)
    layer_bytes = 4 * (4 * 128 * 128 + 2 * 128 * 512)
    growth = traced_peak(tmp_path, 14) - traced_peak(tmp_path, 2)
    assert growth < layer_bytes


def test_the_script_converts(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    flags = [f"--hf={directory}", f"--store={tmp_path / 'store'}"]
    first = run_script(tmp_path, "convert_opt", *flags)
    assert first.returncode == 0, first.stderr
    # 16 arrays a layer, and the two embeddings and the last norm.
    assert first.stdout == f"{tmp_path / 'store'}: 52 arrays, float32\n"
    assert reading.open_store(tmp_path / "store").manifest["source"]["name"] == "model"
    second = run_script(tmp_path, "convert_opt", *flags)
    assert second.returncode == errors.OutputExistsError.exit_code
    assert "exists" in second.stderr.splitlines()[-1]


def test_the_script_names_the_flag_that_accepts_what_is_wrong(tmp_path):
    model = tiny_models.random_model()
    model.model.decoder.layers[1].fc1.bias.data[3] = np.nan
    directory = tiny_models.write(model, tmp_path / "model")
    flags = [f"--hf={directory}", f"--store={tmp_path / 'store'}"]
    done = run_script(tmp_path, "convert_opt", *flags)
    assert done.returncode == errors.CheckpointError.exit_code
    [flag] = re.findall("add (--[a-z_=]+)", done.stderr)
    assert run_script(tmp_path, "convert_opt", *flags, flag).returncode == 0

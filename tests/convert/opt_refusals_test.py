"""Checkpoints that are not whole, or not what their config says: one clear error, nothing left behind."""

import json

import numpy as np
import pytest

from convert import cached, opt
from jaxneurons import errors
from jaxneurons.store import reading
from tests.support import cases, conversions, tiny_models

torch = pytest.importorskip("torch")


@pytest.mark.fault(case=11)
def test_all_mismatches_come_in_one_error(tmp_path):
    def change(state):
        fc1 = state.pop("model.decoder.layers.1.fc1.weight")
        state["model.decoder.layers.0.fc2.weight"] = fc1
        state["model.decoder.layers.3.fc1.bias"] = fc1[:, 0].clone()
        state["decoder.layers.2.fc2.bias"] = fc1[0].clone()
        state["score.weight"] = fc1.clone()
        state["model.decoder.layers.2.fc1.bias"] = fc1[:, 0].to(torch.int16)

    conversions.assert_refused(
        conversions.changed_model(tmp_path, change),
        tmp_path,
        "no key for layers/001/feed_forward/fc1/kernel",
        "unexpected key model.decoder.layers.3.fc1.bias",
        "unexpected key score.weight",
        "model.decoder.layers.0.fc2.weight has shape [40, 24], the config says [24, 40]",
        "several keys for layers/002/feed_forward/fc2/bias",
        "model.decoder.layers.2.fc1.bias is I16: expected one of float16",
    )


@cases.each("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_a_prefix_of_all_keys_is_named(tmp_path, prefix):
    def change(state):
        state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"].clone()
        for key in list(state):
            state[prefix + key] = state.pop(key)

    directory = conversions.changed_model(tmp_path, change)
    conversions.assert_refused(
        directory, tmp_path, f"remove '{prefix}' from the 53 keys", prefix
    )


def test_unmerged_adapters_are_named(tmp_path):
    def change(state):
        query = "base_model.model.model.decoder.layers.0.self_attn.q_proj"
        for key in list(state):
            state[f"base_model.model.{key}"] = state.pop(key)
        weight = state.pop(f"{query}.weight")
        state[f"{query}.base_layer.weight"] = weight
        state[f"{query}.lora_A.default.weight"] = weight[:2].clone()

    directory = conversions.changed_model(tmp_path, change)
    conversions.assert_refused(
        directory, tmp_path, "LoRA weights are not merged", "merge_and_unload"
    )


def test_what_is_there_is_listed_however_much_is_missing(tmp_path):
    def change(state):
        for key in list(state):
            state[key.replace("decoder.layers", "blocks")] = state.pop(key)

    conversions.assert_refused(
        conversions.changed_model(tmp_path, change),
        tmp_path,
        "unexpected key model.blocks.0.",
        "and 40 more; no key for layers/000/",
    )


def test_a_key_that_holds_no_parameter_is_passed_over(tmp_path):
    def change(state):
        state["decoder.version"] = state["lm_head.weight"] = state[
            "model.decoder.embed_tokens.weight"
        ].clone()
        state["decoder.version"] = state["decoder.version"][0, :1].clone()

    directory = conversions.changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store")
    assert reading.open_store(tmp_path / "store").read_embed()


def test_a_head_of_its_own_is_refused(tmp_path):
    def change(state):
        head = state["model.decoder.embed_tokens.weight"].clone()
        head[31, 5] += 1
        state["lm_head.weight"] = head

    directory = conversions.changed_model(tmp_path, change)
    conversions.assert_refused(directory, tmp_path, "lm_head.weight differ at [31, 5]")


def test_a_head_with_the_embeddings_nan_is_tied(tmp_path):
    def change(state):
        state["model.decoder.embed_tokens.weight"][31, 5] = np.nan
        state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"].clone()

    directory = conversions.changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store", allow_nonfinite=True)
    table = reading.open_store(tmp_path / "store").read_embed()["token_embedding"]
    assert np.argwhere(np.isnan(table)).tolist() == [[31, 5]]


@pytest.mark.fault(case=12)
@cases.each("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_or_kept(tmp_path, value):
    def change(state):
        state["model.decoder.layers.1.fc2.weight"][3, 17] = value
        state["model.decoder.layers.1.fc2.weight"][9, 2] = value

    directory = conversions.changed_model(tmp_path, change)
    wanted = f"model.decoder.layers.1.fc2.weight is {value} at [3, 17]"
    refused = conversions.assert_refused(directory, tmp_path, wanted)
    assert refused.remedy == {"allow_nonfinite": True}
    opt.convert(directory, tmp_path / "store", allow_nonfinite=True, dtype="float16")
    opened = reading.open_store(tmp_path / "store")
    name = "layers/001/feed_forward/fc2/kernel"
    assert opened.manifest["source"]["nonfinite_arrays"] == [name]
    kernel = opened.read_layer(1)["feed_forward"]["fc2"]["kernel"]
    np.testing.assert_equal(kernel[[17, 2], [3, 9]], np.float16([value, value]))


def test_an_unknown_attribute_is_ignored_and_recorded_where_that_is_asked(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"tuned_by": "me"}))
    conversions.assert_refused(directory, tmp_path, "tuned_by", kind=errors.ConfigError)
    for title, opened in (
        cached.open_model(str(directory), tmp_path / "cache", None, ["tuned_by"]),
        cached.open_model(f"{directory}/", tmp_path / "cache", None, ["tuned_by"]),
    ):
        assert title == "model"
        assert opened.manifest["source"]["ignored_attributes"] == ["tuned_by"]
    with pytest.raises(errors.ConfigError, match="tuned_by"):
        cached.open_model(str(directory), tmp_path / "cache")


@pytest.mark.fault(case=11)
def test_a_config_that_does_not_fit_the_weights_is_refused(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    for changes in (
        {"num_hidden_layers": 2**31 - 1},
        {"hidden_size": 2**31 - 1, "num_attention_heads": 1},
        {"ffn_dim": 2**31 - 1, "vocab_size": 2**31 - 1},
        {"ffn_dim": 41},
        {"vocab_size": 49},
        {"max_position_embeddings": 2048},
        {"num_hidden_layers": 2},
        {"word_embed_proj_dim": 12},
        {"do_layer_norm_before": False},
        {"enable_bias": False},
        {"layer_norm_elementwise_affine": False},
    ):
        (directory / "config.json").write_text(json.dumps(config | changes))
        conversions.assert_refused(directory, tmp_path)


@pytest.mark.fault(case=2)
def test_a_model_half_downloaded_is_named_before_it_is_looked_up(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").symlink_to("../../blobs/absent")
    with pytest.raises(errors.CheckpointError, match="missing.*download was interr"):
        cached.open_model(str(directory), tmp_path / "cache")


def test_a_bad_tokenizer_file_is_refused(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    (directory / "tokenizer.json").touch()
    (directory / "vocab.json").symlink_to("nowhere")
    conversions.assert_refused(
        directory, tmp_path, "tokenizer.json is empty", "vocab.json is missing"
    )


@pytest.mark.fault(case=14)
def test_what_is_there_is_not_touched(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    (tmp_path / "store").write_text("mine")
    with pytest.raises(errors.OutputExistsError):
        opt.convert(directory, tmp_path / "store")
    assert (tmp_path / "store").read_text() == "mine"
    with pytest.raises(errors.UsageError, match="'int8'.*float16"):
        opt.convert(directory, tmp_path / "other", dtype="int8")

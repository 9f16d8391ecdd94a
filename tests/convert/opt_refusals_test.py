"""Checkpoints that are not whole, or not what their config says: one clear error, nothing left behind."""

import json

import numpy as np
import pytest

from convert import cached, opt
from jaxneurons import errors
from jaxneurons.store import format, reading
from tests.support import tiny_models


def changed_model(tmp_path, change):
    """A checkpoint whose state dict went through `change`."""
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    import safetensors.torch

    state = safetensors.torch.load_file(directory / "model.safetensors")
    change(state)
    tiny_models.write_weights(state, directory)
    return directory


def assert_refused(directory, tmp_path, *fragments, **options):
    """One line with all fragments, and nothing left behind."""
    with pytest.raises(errors.CheckpointError) as caught:
        opt.convert(directory, tmp_path / "store", **options)
    for fragment in (str(directory), *fragments):
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]


@pytest.mark.fault(case=11)
def test_all_mismatches_come_in_one_error(tmp_path):
    def change(state):
        fc1 = state.pop("model.decoder.layers.1.fc1.weight")
        state["model.decoder.layers.0.fc2.weight"] = fc1
        state["model.decoder.layers.3.fc1.bias"] = fc1[:, 0].clone()
        state["decoder.layers.2.fc2.bias"] = fc1[0].clone()
        state["score.weight"] = fc1.clone()
        state["model.decoder.layers.2.fc1.bias"] = fc1[:, 0].double()

    assert_refused(
        changed_model(tmp_path, change),
        tmp_path,
        "no key for layers/001/feed_forward/fc1/kernel",
        "unexpected key model.decoder.layers.3.fc1.bias",
        "unexpected key score.weight",
        "model.decoder.layers.0.fc2.weight has shape [40, 24], wanted [24, 40]",
        "several keys for layers/002/feed_forward/fc2/bias",
        "model.decoder.layers.2.fc1.bias is float64",
    )


def test_a_key_that_holds_no_parameter_is_passed_over(tmp_path):
    def change(state):
        state["decoder.version"] = state["lm_head.weight"] = state[
            "model.decoder.embed_tokens.weight"
        ].clone()
        state["decoder.version"] = state["decoder.version"][0, :1].clone()

    directory = changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store")
    assert reading.open_store(tmp_path / "store").read_embed()


def test_a_head_of_its_own_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(opt, "PIECE_SIZE", 7)

    def change(state):
        head = state["model.decoder.embed_tokens.weight"].clone()
        head[31, 5] += 1
        state["lm_head.weight"] = head

    directory = changed_model(tmp_path, change)
    assert_refused(directory, tmp_path, "lm_head.weight differ at [31, 5]")


def test_a_head_with_the_embeddings_nan_is_tied(tmp_path):
    def change(state):
        state["model.decoder.embed_tokens.weight"][31, 5] = np.nan
        state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"].clone()

    directory = changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store", allow_nonfinite=True)
    table = reading.open_store(tmp_path / "store").read_embed()["token_embedding"]
    assert np.argwhere(np.isnan(table)).tolist() == [[31, 5]]


@pytest.mark.fault(case=12)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_or_kept(tmp_path, monkeypatch, value):
    monkeypatch.setattr(opt, "PIECE_SIZE", 7)

    def change(state):
        state["model.decoder.layers.1.fc2.weight"][3, 17] = value
        state["model.decoder.layers.1.fc2.weight"][9, 2] = value

    directory = changed_model(tmp_path, change)
    wanted = f"model.decoder.layers.1.fc2.weight is {value} at [3, 17]"
    assert_refused(directory, tmp_path, wanted, "--allow_nonfinite")
    opt.convert(directory, tmp_path / "store", allow_nonfinite=True, dtype="float16")
    opened = reading.open_store(tmp_path / "store")
    name = "layers/001/feed_forward/fc2/kernel"
    assert opened.manifest["source"]["nonfinite_arrays"] == [name]
    kernel = opened.read_layer(1)["feed_forward"]["fc2"]["kernel"]
    np.testing.assert_equal(kernel[[17, 2], [3, 9]], np.float16([value, value]))


@pytest.mark.fault(case=12)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_every_kind_of_number_is_told_from_nan_and_infinity(dtype):
    kind = format.DTYPES[dtype]
    # The upper half of a float32 says what it is.
    bits = np.arange(2**16, dtype=np.uint32) << (0 if kind.itemsize == 2 else 16)
    values = bits.astype(f"u{kind.itemsize}").view(kind)
    with np.errstate(invalid="ignore"):
        wanted = ~np.isfinite(values)
    np.testing.assert_array_equal(opt._not_finite(values), wanted)


@pytest.mark.fault(case=12)
@pytest.mark.parametrize("allow_nonfinite", [False, True])
def test_a_cast_that_overflows_is_refused(tmp_path, allow_nonfinite):
    def change(state):
        state["model.decoder.layers.0.fc1.bias"][11] = 1e5

    assert_refused(
        changed_model(tmp_path, change),
        tmp_path,
        "model.decoder.layers.0.fc1.bias is 100000.0 at [11], too large for float16",
        dtype="float16",
        allow_nonfinite=allow_nonfinite,
    )


def test_mixed_types_want_a_choice(tmp_path):
    def change(state):
        for key in state:
            if "norm" not in key:
                state[key] = state[key].half()

    directory = changed_model(tmp_path, change)
    assert_refused(directory, tmp_path, "as float16", "as float32", "--dtype")
    opt.convert(directory, tmp_path / "store", dtype="float32")
    arrays = reading.open_store(tmp_path / "store").manifest["arrays"]
    assert {entry["dtype"] for entry in arrays.values()} == {"float32"}


@pytest.mark.fault(case=11)
@pytest.mark.parametrize(
    "changes",
    [
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
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_the_weights_is_refused(tmp_path, changes):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | changes))
    assert_refused(directory, tmp_path)


@pytest.mark.fault(case=2)
def test_a_model_half_downloaded_is_named_before_it_is_looked_up(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors").symlink_to("../../blobs/absent")
    with pytest.raises(errors.CheckpointError, match="missing; download was interr"):
        cached.open_model(str(directory), tmp_path / "cache")


def test_a_bad_tokenizer_file_is_refused(tmp_path):
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    (directory / "tokenizer.json").touch()
    (directory / "vocab.json").symlink_to("nowhere")
    assert_refused(
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

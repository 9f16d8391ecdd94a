"""The type of a store: what keeps every value, or what was asked for."""

import numpy as np
import pytest

from convert import opt
from jaxneurons.store import reading
from tests.support import cases, conversions, tiny_models

torch = pytest.importorskip("torch")


@pytest.mark.fault(case=12)
@cases.each("allow_nonfinite", [False, True])
def test_a_cast_that_overflows_is_refused(tmp_path, allow_nonfinite):
    def change(state):
        state["model.decoder.layers.0.fc1.bias"][11] = 1e5

    conversions.assert_refused(
        conversions.changed_model(tmp_path, change),
        tmp_path,
        "model.decoder.layers.0.fc1.bias is 100000.0 at [11], too large for float16",
        dtype="float16",
        allow_nonfinite=allow_nonfinite,
    )


def test_weights_of_several_types_are_kept_as_float32(tmp_path):
    def change(state):
        for key in state:
            if "norm" not in key:
                state[key] = state[key].half()

    directory = conversions.changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store")
    opened = reading.open_store(tmp_path / "store")
    arrays = opened.manifest["arrays"]
    assert {entry["dtype"] for entry in arrays.values()} == {"float32"}
    model = tiny_models.random_model().model.decoder
    norm = model.layers[0].final_layer_norm.weight.detach().numpy()
    table = model.embed_tokens.weight.detach().half().float().numpy()
    scale = opened.read_layer(0)["feed_forward_layer_norm"]["scale"]
    np.testing.assert_array_equal(scale, norm)
    np.testing.assert_array_equal(opened.read_embed()["token_embedding"], table)


def test_float64_is_kept_as_float32_where_that_loses_nothing(tmp_path):
    def change(state):
        for key in state:
            state[key] = state[key].double()
        state["lm_head.weight"] = state["model.decoder.embed_tokens.weight"].clone()

    directory = conversions.changed_model(tmp_path, change)
    opt.convert(directory, tmp_path / "store")
    table = reading.open_store(tmp_path / "store").read_embed()["token_embedding"]
    wanted = tiny_models.random_model().model.decoder.embed_tokens.weight
    np.testing.assert_array_equal(table, wanted.detach().numpy())


@cases.each("value", [0.1, 1e300])
def test_float64_that_float32_does_not_hold_is_refused_or_rounded(tmp_path, value):
    def change(state):
        for key in state:
            state[key] = state[key].double()
        state["model.decoder.layers.1.fc1.bias"][3] = value

    directory = conversions.changed_model(tmp_path, change)
    wanted = f"layers.1.fc1.bias is {value} at [3], which float32 does not hold exactly"
    conversions.assert_refused(directory, tmp_path, wanted)
    if value == 0.1:
        opt.convert(directory, tmp_path / "store", dtype="float32")
        bias = reading.open_store(tmp_path / "store").read_layer(1)["feed_forward"]
        assert bias["fc1"]["bias"][3] == np.float32(0.1)
    else:
        conversions.assert_refused(
            directory, tmp_path, "too large for float32", dtype="float32"
        )


def test_a_type_of_all_weights_is_one_line(tmp_path):
    def change(state):
        for key in state:
            state[key] = state[key].to(torch.float8_e4m3fn)

    directory = conversions.changed_model(tmp_path, change)
    conversions.assert_refused(
        directory, tmp_path, "is F8_E4M3, as are 51 others: expected one of"
    )

"""The layer store: the bits written come back, from wherever it is and whatever opens it."""

import shutil

import numpy as np
import pytest
import tensorstore as ts

from jaxneurons import config, errors
from jaxneurons.store import format, random_model, reading
from tests.support import cases, stores

BARE = config.Config(
    vocab_size=11,
    hidden_size=6,
    ffn_dim=5,
    num_hidden_layers=2,
    num_attention_heads=2,
    enable_bias=False,
    layer_norm_elementwise_affine=False,
    positions="none",
)


@cases.each(
    "dtype, model_config",
    [("float16", stores.SMALL), ("bfloat16", BARE), ("float32", BARE)],
)
def test_the_bits_written_come_back(tmp_path, dtype, model_config):
    stores.write(tmp_path / "a", model_config, dtype=dtype)
    model = reading.open_store(tmp_path / "a")
    assert model.config == model_config and model.dtype == dtype
    groups = {"embed": model.read_embed()}
    groups |= {f"layers/{layer:03d}": model.read_layer(layer) for layer in (0, 1)}
    found = {
        f"{g}/{n}": a for g, tree in groups.items() for n, a in stores.flatten(tree)
    }
    wanted = dict(random_model.arrays(model_config, dtype=dtype))
    assert found.keys() == wanted.keys() == format.array_shapes(model_config).keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


def test_tokenizer_and_source_come_back(path):
    model = reading.open_store(path)
    assert model.read_tokenizer() == stores.TOKENIZER
    assert model.manifest["source"] == {"name": "random"}
    assert reading.is_store(path) and not reading.is_store(path.parent)


def test_a_store_may_have_no_tokenizer(tmp_path):
    stores.write(tmp_path / "a", tokenizer=None)
    assert reading.open_store(tmp_path / "a").read_tokenizer() is None
    assert not (tmp_path / "a" / "tokenizer").exists()


def test_a_store_can_be_read_by_url(path):
    shutil.copytree(path, path.parent / "plain")
    model = reading.open_store(f"file://{path.parent}/plain")
    assert model.fingerprint == reading.open_store(path).fingerprint
    np.testing.assert_array_equal(
        model.read_layer(1)["feed_forward"]["fc1"]["kernel"],
        reading.open_store(path).read_layer(1)["feed_forward"]["fc1"]["kernel"],
    )


def test_an_address_of_an_unknown_kind_is_refused():
    with pytest.raises(errors.UsageError, match="xyz:// is not supported"):
        reading.open_store("xyz://bucket/model")


def test_a_relative_path_means_the_directory_it_was_opened_in(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    model = reading.open_store(path.name)
    monkeypatch.chdir("/")
    assert model.read_tokenizer() == stores.TOKENIZER
    model.read_layer(0)


def test_chunks_hold_whole_rows_of_at_most_64_mib():
    described = format.array_metadata((50272, 9216), "float16")
    chunk = described["chunk_grid"]["configuration"]["chunk_shape"]
    assert chunk == [3640, 9216]
    assert format.array_metadata((4, 2**28), "float32")["chunk_grid"]["configuration"][
        "chunk_shape"
    ] == [1, 2**28]


def test_fingerprints_tell_models_apart_and_copies_not(path, tmp_path):
    stores.write(tmp_path / "copy", source={"name": "other place"})
    stores.write(tmp_path / "weights", seed=1)
    stores.write(tmp_path / "tokenizer", tokenizer=b"{ }")
    stores.write(tmp_path / "type", dtype="bfloat16")
    here = reading.open_store(path).fingerprint
    assert reading.open_store(tmp_path / "copy").fingerprint == here
    names = ("weights", "tokenizer", "type")
    others = {reading.open_store(tmp_path / name).fingerprint for name in names}
    assert len(others | {here}) == 4


def test_a_layer_that_the_model_has_not_is_an_error(path):
    model = reading.open_store(path)
    for layer in (-1, 2, 1000):
        with pytest.raises(errors.StoreError, match="the model has no layers/"):
            model.read_layer(layer)


def test_what_is_no_store_is_said_to_be_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("nothing", "file", "file/below"):
        with pytest.raises(errors.StoreError, match="manifest.json is missing"):
            reading.open_store(tmp_path / name)


def test_a_url_of_an_unknown_kind_is_one_line():
    with pytest.raises(errors.JaxneuronsError, match="^[^\n]*nonsense://x[^\n]*$"):
        reading.open_store("nonsense://x")


def test_arrays_open_in_tensorstore_without_this_code(path):
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path / stores.FC1}/"},
    }
    found = ts.open(spec, open=True).result().read().result()
    np.testing.assert_array_equal(
        found, dict(random_model.arrays(stores.SMALL, dtype="float16"))[stores.FC1]
    )

"""The layer store: the bits written come back, or an error that names layer and array.

Cases 13 to 15, 21 and 22 of the design's list of faults, as far as they are the store's.
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil

import numpy as np
import pytest
import tensorstore as ts

from jaxneurons import config, errors
from jaxneurons.disk import manifest
from jaxneurons.store import format, random_model, reading, writing

SMALL = config.Config(
    vocab_size=11,
    hidden_size=6,
    ffn_dim=5,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=7,
)
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
FC1 = "layers/001/feed_forward/fc1/kernel"
TOKENIZER = b'{"model": {}}'


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A small store, written once: syncing takes most of the time."""
    path = tmp_path_factory.mktemp("template") / "store"
    write(path)
    return path


@pytest.fixture
def path(template, tmp_path):
    """A small store to change, under a name that is not easy on URLs and formats."""
    return shutil.copytree(template, tmp_path / "my store %20#é?")


@pytest.mark.parametrize(
    ("dtype", "model_config"),
    [("float16", SMALL), ("bfloat16", BARE), ("float32", BARE)],
)
def test_the_bits_written_come_back(tmp_path, dtype, model_config):
    write(tmp_path / "a", model_config, dtype=dtype)
    model = reading.open_store(tmp_path / "a")
    assert model.config == model_config and model.dtype == dtype
    groups = {"embed": model.read_embed()}
    groups |= {f"layers/{layer:03d}": model.read_layer(layer) for layer in (0, 1)}
    found = {f"{g}/{n}": a for g, tree in groups.items() for n, a in flatten(tree)}
    wanted = dict(random_model.arrays(model_config, dtype=dtype))
    assert found.keys() == wanted.keys() == format.array_shapes(model_config).keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


def test_tokenizer_and_source_come_back(path):
    model = reading.open_store(path)
    assert model.read_tokenizer() == TOKENIZER
    assert model.manifest["source"] == {"name": "random"}
    assert reading.is_store(path) and not reading.is_store(path.parent)


def test_a_store_may_have_no_tokenizer(tmp_path):
    write(tmp_path / "a", tokenizer=None)
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


def test_a_relative_path_means_the_directory_it_was_opened_in(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    model = reading.open_store(path.name)
    monkeypatch.chdir("/")
    assert model.read_tokenizer() == TOKENIZER
    model.read_layer(0)


def test_chunks_hold_whole_rows_of_at_most_64_mib():
    described = format.array_metadata((50272, 9216), "float16")
    chunk = described["chunk_grid"]["configuration"]["chunk_shape"]
    assert chunk == [3640, 9216]
    assert format.array_metadata((4, 2**28), "float32")["chunk_grid"]["configuration"][
        "chunk_shape"
    ] == [1, 2**28]


def test_fingerprints_tell_models_apart_and_copies_not(path, tmp_path):
    write(tmp_path / "copy", source={"name": "other place"})
    write(tmp_path / "weights", seed=1)
    write(tmp_path / "tokenizer", tokenizer=b"{ }")
    write(tmp_path / "type", dtype="bfloat16")
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


# Writing: what is refused, and that nothing is left.


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("layers/002/feed_forward/fc1/kernel", np.zeros((6, 5), "f4"), "has no array"),
        ("../outside", np.zeros(1, "f4"), "has no array"),
        ("embed/token_embedding", np.zeros((11, 6), "f4"), "was written before"),
        (FC1, np.zeros((5, 6), "f4"), r"float32\[5, 6\]; expected \[6, 5\]"),
        (FC1, np.zeros((6, 5), "f8"), "float64"),
        (FC1, np.zeros((6, 5), ">f4"), ">f4"),
        (FC1, np.zeros((6, 5), "i4"), "int32"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(tmp_path, name, array, message):
    with (
        pytest.raises(errors.StoreError, match=message),
        writing.Writer(tmp_path / "a", SMALL) as writer,
    ):
        writer.write("embed/token_embedding", np.zeros((11, 6), np.float32))
        writer.write(name, array)
    assert list(tmp_path.iterdir()) == []


def test_missing_arrays_are_named_and_nothing_is_left(tmp_path):
    arrays = dict(random_model.arrays(SMALL))
    del arrays[FC1], arrays["embed/token_embedding"]
    with pytest.raises(errors.StoreError) as caught:
        write(tmp_path / "a", arrays=arrays)
    assert FC1 in str(caught.value) and "embed/token_embedding" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_store_left_without_publish_is_an_error_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(errors.StoreError, match="without `publish`"),
        writing.Writer(tmp_path / "a", SMALL),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_refused_and_untouched(path):
    before = fingerprint_of_tree(path)
    with pytest.raises(errors.OutputExistsError, match="a store is never overwritten"):
        write(path)
    assert fingerprint_of_tree(path) == before


@pytest.mark.fault(case=13)
def test_a_refused_write_leaves_nothing_and_can_be_run_again(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (1, 100, 250, 300, 1000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(errors.InputOutputError, match="a.*: File too large"):
                write(tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a")
    verify(tmp_path / "a")


@pytest.mark.fault(case=15)
def test_no_lock_file_is_published(path):
    names = [file.name for file in path.rglob("*") if file.is_file()]
    assert len(names) > 40 and not [n for n in names if "lock" in n or "partial" in n]


# Reading: case 21, whatever is changed is noticed and named.


def _flip(place):
    def flip(file: pathlib.Path) -> None:
        content = bytearray(file.read_bytes())
        content[place % len(content)] ^= 4
        file.write_bytes(content)

    return flip


def _truncate(file: pathlib.Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


CHANGES = {
    "first byte": _flip(0),
    "middle byte": _flip(50),
    "last byte": _flip(-1),
    "truncated": _truncate,
    "emptied": lambda file: file.write_bytes(b""),
    "deleted": pathlib.Path.unlink,
    "directory": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.fault(case=21)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_named(path, change):
    whole = reading.open_store(path)
    for file in ("c.0.0", "zarr.json"):
        with changed(path / FC1 / file, change):
            with pytest.raises(errors.StoreError) as caught:
                whole.read_layer(1)
            assert str(caught.value).startswith(f"{path}: {FC1} is damaged: ")
            assert "\n" not in str(caught.value)
            whole.read_layer(0)
    with (
        changed(path / "tokenizer" / "tokenizer.json", change),
        pytest.raises(errors.StoreError, match="tokenizer/tokenizer.json"),
    ):
        whole.read_tokenizer()
    with (
        changed(path / "manifest.json", change),
        pytest.raises(errors.StoreError, match="manifest.json .*(damaged|describe)"),
    ):
        reading.open_store(path)


@contextlib.contextmanager
def changed(file, change):
    """A file that is changed while the block runs."""
    content = file.read_bytes()
    CHANGES[change](file)
    yield
    if file.is_dir():
        file.rmdir()
    file.write_bytes(content)


@pytest.mark.fault(case=21)
def test_every_byte_of_a_manifest_is_covered(path):
    content = (path / "manifest.json").read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(0, len(content), 100):
        for changed in (content[place] ^ 1 << int(random.integers(8)), 32, 34):
            mutant = content[:place] + bytes([changed]) + content[place + 1 :]
            (path / "manifest.json").write_bytes(mutant)
            if mutant != content:
                with pytest.raises(errors.BadDataError):
                    reading.open_store(path)


@pytest.mark.fault(case=21)
def test_swapped_layers_are_noticed(path):
    layers = path / "layers"
    (layers / "000").rename(layers / "x")
    (layers / "001").rename(layers / "000")
    (layers / "x").rename(layers / "001")
    for layer in (0, 1):
        with pytest.raises(errors.StoreError, match=f"layers/00{layer}/.*not the elem"):
            reading.open_store(path).read_layer(layer)


@pytest.mark.fault(case=21)
def test_a_layer_of_another_model_is_noticed(path, tmp_path):
    for name, other in {"seed": {"seed": 1}, "type": {"dtype": "bfloat16"}}.items():
        write(tmp_path / name, **other)
        shutil.rmtree(path / "layers/001")
        shutil.copytree(tmp_path / name / "layers/001", path / "layers/001")
        with pytest.raises(errors.StoreError, match="layers/001/.* is damaged"):
            reading.open_store(path).read_layer(1)


@pytest.mark.fault(case=21)
def test_seeded_mutations_never_give_other_values(path):
    """A short form: any byte of any file of a layer, changed, cut off or doubled."""
    wanted = dict(flatten(reading.open_store(path).read_layer(1)))
    random = np.random.default_rng(0)
    found = sorted(file for file in (path / "layers/001").rglob("*") if file.is_file())
    caught = 0
    for _ in range(100):
        file = found[random.integers(len(found))]
        content = file.read_bytes()
        file.write_bytes(mutated(content, random))
        try:
            read = dict(flatten(reading.open_store(path).read_layer(1)))
            assert all(read[n].tobytes() == a.tobytes() for n, a in wanted.items())
        except errors.StoreError:
            caught += 1
        file.write_bytes(content)
    # What is left is bytes after the end of a chunk, which nobody reads.
    assert caught > 70


def test_a_refusal_of_the_system_is_not_taken_for_damage(path):
    for file in (f"{FC1}/c.0.0", f"{FC1}/zarr.json", "manifest.json"):
        (path / file).unlink()
        (path / file).symlink_to(pathlib.Path(file).name)
        with pytest.raises(errors.InputOutputError, match="cannot read .*symbolic lin"):
            reading.open_store(path).read_layer(1)


@pytest.mark.fault(case=22)
def test_another_format_version_is_refused_with_both_and_the_remedy(path):
    current = format.FORMAT.version
    for version in (0, current - 1, current + 1, str(current), None, [current]):
        entries = {"format": "jaxneurons-layer-store", "format_version": version}
        (path / "manifest.json").write_text(json.dumps(entries))
        with pytest.raises(errors.FormatVersionError) as caught:
            reading.open_store(path)
        message = str(caught.value)
        assert f"version {version!r}, this code reads version {current}" in message
        assert "convert the model again" in message


@pytest.mark.fault(case=1)
def test_a_name_that_leads_out_is_refused_even_in_a_manifest_with_a_right_digest(path):
    for name in ("../x", "/etc/passwd", "layers/../../x", "a\\b", "\ud800"):
        entries = json.loads((path / "manifest.json").read_bytes())
        for key in ("format", "format_version", "digest"):
            entries.pop(key, None)
        entries["arrays"][name] = entries["arrays"][FC1]
        sealed = manifest.seal(format.FORMAT, entries)
        (path / "manifest.json").write_bytes(sealed)
        with pytest.raises(errors.StoreError, match="leads out of the store"):
            reading.open_store(path)


def test_a_manifest_of_anything_is_one_line(path):
    begin = b'{"format": "jaxneurons-layer-store", "format_version": 3, '
    contents = [
        b"",
        b"null",
        b"{}",
        b"\xff",
        b"NaN",
        begin + b'"source": NaN}',
        begin + b'"a": "\\ud800"}',
        b'{"format": "jaxneurons-study", "format_version": 3}',
        b"[" * 100_000,
        begin + b'"a": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format_version": ' + b"9" * 5000 + b"}",
    ]
    for content in contents:
        (path / "manifest.json").write_bytes(content)
        with pytest.raises(errors.StoreError, match="manifest.json[^\n]*$"):
            reading.open_store(path)


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
        "kvstore": {"driver": "file", "path": f"{path / FC1}/"},
    }
    found = ts.open(spec, open=True).result().read().result()
    np.testing.assert_array_equal(
        found, dict(random_model.arrays(SMALL, dtype="float16"))[FC1]
    )


def write(
    path,
    model_config=SMALL,
    *,
    dtype="float16",
    seed=0,
    arrays=None,
    tokenizer=TOKENIZER,
    source=None,
):
    """Writes a store of random arrays."""
    arrays = arrays or dict(random_model.arrays(model_config, seed, dtype))
    with writing.Writer(path, model_config) as writer:
        if tokenizer is not None:
            writer.add_tokenizer(tokenizer)
        for name, array in arrays.items():
            writer.write(name, array)
        writer.publish(source or {"name": "random"})


def verify(path, model_config=SMALL):
    """Asserts that a store of seed 0 is as `write` made it."""
    model = reading.open_store(path)
    wanted = dict(random_model.arrays(model_config, dtype="float16"))
    for layer in (0, 1):
        for name, array in flatten(model.read_layer(layer)):
            assert array.tobytes() == wanted[f"layers/{layer:03d}/{name}"].tobytes()
    model.read_embed()
    assert model.read_tokenizer() == TOKENIZER
    assert not list(pathlib.Path(path).rglob("*__lock"))


def flatten(tree, prefix=""):
    """Pairs of path and array of a nested dict."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def mutated(content, random):
    """Other bytes: one changed, some cut off, or some added."""
    place = int(random.integers(len(content)))
    return [
        content[:place]
        + bytes([content[place] ^ 1 << random.integers(8)])
        + content[place + 1 :],
        content[:place],
        content + content[:place] + b"x",
    ][random.choice(3, p=[0.6, 0.25, 0.15])]


def fingerprint_of_tree(path):
    """Names, times and contents of all files below a path."""
    return {
        file: (file.stat().st_mtime_ns, file.read_bytes())
        for file in path.rglob("*")
        if file.is_file()
    }

"""A store that was changed: an error that names layer and array (cases 1, 21 and 22), never other values."""

import contextlib
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.disk import manifest
from jaxneurons.store import format, reading
from tests.support import cases, stores


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
@cases.each("change", CHANGES, fresh="path")
def test_a_changed_file_is_named(path, change):
    whole = reading.open_store(path)
    for file in ("c.0.0", "zarr.json"):
        with changed(path / stores.FC1 / file, change):
            with pytest.raises(errors.StoreError) as caught:
                whole.read_layer(1)
            assert str(caught.value).startswith(f"{path}: {stores.FC1} is damaged: ")
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
        stores.write(tmp_path / name, **other)
        shutil.rmtree(path / "layers/001")
        shutil.copytree(tmp_path / name / "layers/001", path / "layers/001")
        with pytest.raises(errors.StoreError, match="layers/001/.* is damaged"):
            reading.open_store(path).read_layer(1)


def test_a_refusal_of_the_system_is_not_taken_for_damage(path):
    for file in (f"{stores.FC1}/c.0.0", f"{stores.FC1}/zarr.json", "manifest.json"):
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
        entries["arrays"][name] = entries["arrays"][stores.FC1]
        sealed = manifest.seal(format.FORMAT, entries)
        (path / "manifest.json").write_bytes(sealed)
        with pytest.raises(errors.StoreError, match="leads out of the store"):
            reading.open_store(path)


def test_a_manifest_of_anything_is_one_line(path):
    begin = b'{"format": "jaxneurons-layer-store", "format_version": 4, '
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

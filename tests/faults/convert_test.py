"""A conversion that is killed, runs out of disk or of memory, or is not alone: a whole store or none."""

import gc
import os
import pathlib
import re
import resource
import shutil
import subprocess
import threading
from concurrent import futures

import pytest

from convert import checkpoint, export, opt
from jaxneurons import errors
from jaxneurons.store import reading
from tests.support import dying, planted, stores


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of two layers in Hugging Face's format, and its store."""
    folder = tmp_path_factory.mktemp("converter")
    model = planted.MODEL.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 2})
    layers = [planted.layer(planted.fires_on(4)), planted.layer(planted.fires_on(5))]
    stored = reading.open_store(planted.write_store(folder / "planted", layers, model))
    export.write_huggingface(stored, folder / "model")
    opt.convert(folder / "model", folder / "whole")
    return folder


@pytest.mark.slow
@pytest.mark.fault(case=15)
def test_killed_at_every_rename_and_sync(folder, tmp_path, campaign):
    calls = tries = whole = 0
    path = tmp_path / "store"
    while not dying.run(opt.convert, folder / "model", path, calls=calls):
        if path.exists():
            whole += 1
            stores.assert_same(path, folder / "whole")
        else:
            # Killed again, where the first left a folder half filled; then it is let.
            dying.run(opt.convert, folder / "model", path, calls=calls // 2)
        if not path.exists():
            assert dying.run(opt.convert, folder / "model", path)
            stores.assert_same(path, folder / "whole")
        assert os.listdir(tmp_path) == ["store"]
        shutil.rmtree(path)
        tries += 1
        calls += 1 if campaign else 70
    stores.assert_same(path, folder / "whole")
    assert calls > 60 and whole < tries
    print(f"case 15: killed at {tries} renames and syncs, {whole} left a whole store")


@pytest.mark.fault(case=27)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_interrupt_while_a_thread_begins_leaves_nothing(
    folder, tmp_path, monkeypatch, number
):
    start, begun = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        begun.append(thread)
        if len(begun) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        opt.convert(folder / "model", tmp_path / "store")
    # A traceback keeps what it went through.
    del caught
    gc.collect()
    for thread in begun:
        thread.join(30)
        assert not thread.is_alive()
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.fault(case=13)
def test_no_room_at_any_stage(folder, tmp_path, campaign, request):
    path = _mount(tmp_path / "disk", request) / "store"
    full = 0
    for kilobytes in range(4, 2000, 4 if campaign else 160):
        _resize(path.parent, kilobytes)
        try:
            opt.convert(folder / "model", path)
            break
        except errors.InputOutputError as error:
            wanted = rf"cannot write {path.parent}/.*: No space left .*\d+ free\)"
            assert re.fullmatch(wanted, str(error))
        assert os.listdir(path.parent) == []
        full += 1
    stores.assert_same(path, folder / "whole")
    assert full > 2
    print(f"case 13: {full} sizes of a disk that was too small, nothing left in any")


@pytest.mark.fault(case=14)
def test_of_two_converters_at_once_one_wins(folder, tmp_path):
    with futures.ThreadPoolExecutor(4) as pool:
        paths = [tmp_path / "store"] * 4
        running = [pool.submit(opt.convert, folder / "model", path) for path in paths]
    refused = [future.exception() for future in running if future.exception()]
    assert [type(error) for error in refused] == [errors.OutputExistsError] * 3
    stores.assert_same(tmp_path / "store", folder / "whole")
    assert os.listdir(tmp_path) == ["store"]


def _safetensors(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


LIES = {
    "length": (2**63).to_bytes(8, "little"),
    "long": (2 * 10**8).to_bytes(8, "little") + b"{",
    "shape": _safetensors(
        b'{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 8]}}'
    ),
    "overflow": _safetensors(
        b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}'
    ),
    "place": _safetensors(
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [4398046511104, 4398046511112]}}'
    ),
    "nested": _safetensors(b'{"a":' * 10**6),
    "digits": _safetensors(b'{"a": ' + b"9" * 10**6 + b"}"),
}


@pytest.mark.fault(case=5)
def test_a_header_that_lies_takes_no_memory(tmp_path):
    for name, content in LIES.items():
        (tmp_path / name).mkdir()
        path = tmp_path / name / "model.safetensors"
        path.write_bytes(content)
        os.truncate(path, 3 * 10**8)
    assert dying.run(_open_all_in_little_memory, tmp_path)


def _open_all_in_little_memory(folder: pathlib.Path) -> None:
    now = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    most = now * resource.getpagesize() + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in LIES:
        with pytest.raises(errors.CheckpointError, match=r"model\.safetensors"):
            checkpoint.open_checkpoint(folder / name)


def _mount(folder: pathlib.Path, request: pytest.FixtureRequest) -> pathlib.Path:
    """An empty file system of its own; skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
    if (
        os.geteuid()
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    request.addfinalizer(lambda: subprocess.run(["umount", folder], check=True))
    return folder


def _resize(folder: pathlib.Path, kilobytes: int) -> None:
    size = f"remount,size={kilobytes}k"
    subprocess.run(["mount", "-o", size, folder], check=True)

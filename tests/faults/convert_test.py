"""A conversion that is killed, runs out of disk or of memory, or is not alone: a whole store or none."""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
from concurrent import futures

import pytest

from convert import checkpoint, export, opt
from jaxneurons import config, errors
from jaxneurons.store import random_model, reading
from tests.support import cases, dying, helpers, stores

MODEL = config.Config(
    vocab_size=20,
    hidden_size=32,
    ffn_dim=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=16,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of two layers in Hugging Face's format, and its store."""
    folder = tmp_path_factory.mktemp("converter")
    stored = random_model.write(folder / "random", MODEL)
    export.write_huggingface(reading.open_store(stored), folder / "model")
    opt.convert(folder / "model", folder / "whole")
    return folder


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
@cases.each("number", [1, 2, 20])
def test_an_interrupt_leaves_nothing(folder, tmp_path, number):
    def interrupt(done, total):
        if done == number:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opt.convert(folder / "model", tmp_path / "store", progress=interrupt)
    assert os.listdir(tmp_path) == []


@pytest.mark.fault(case=13)
def test_a_disk_that_does_not_read_is_an_error_not_a_signal(folder, tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    weights = folder / "model" / "model.safetensors"
    program = "import sys; from convert import opt; opt.convert(*sys.argv[1:])"
    trace = ["strace", "-f", "-qqq", "-o", "/dev/null", "-P", weights]
    fault = ["-e", "trace=pread64", "-e", "inject=pread64:error=EIO:when=9+"]
    command = [*trace, *fault, sys.executable, "-c", program, folder / "model"]
    done = subprocess.run(
        [*command, tmp_path / "store"],
        check=False,
        capture_output=True,
        text=True,
        cwd=helpers.REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(helpers.REPOSITORY)},
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    wanted = f"InputOutputError: cannot read {weights}: Input/output error"
    assert wanted in done.stderr
    assert os.listdir(tmp_path) == []


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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in LIES:
        with pytest.raises(errors.CheckpointError, match=r"model\.safetensors"):
            checkpoint.open_checkpoint(folder / name)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 64 * 2**10


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

"""Stores of the cache are made once, by one process at a time, and found only by what they were made from."""

import os
import shutil
import threading
from concurrent import futures

import pytest

from jaxneurons import config, errors
from jaxneurons.store import cache
from tests.support import cases, planted

MODEL = config.Config.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 1})


def write(path):
    planted.write_store(path, [planted.layer()], MODEL)


def open_or_make(folder, sources=(), facts=(), make=write):
    return cache.open_or_make(folder, "name", facts, sources, make)


def test_a_store_is_made_once(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    made = []

    def make(path):
        made.append(path)
        write(path)

    first = open_or_make(tmp_path, [source], [1], make)
    assert open_or_make(tmp_path, [source], [1], make).location == first.location
    assert open_or_make(tmp_path, [source], [2], make).location != first.location
    assert open_or_make(tmp_path, [], [1], make).location != first.location
    assert len(made) == 3
    names = os.listdir(tmp_path / "stores")
    assert len(names) == 3 and all(name.startswith("name-") for name in names)


def test_a_long_title_is_cut(tmp_path):
    made = cache.open_or_make(tmp_path, "a" + "é" * 120, [], [], write)
    assert os.path.basename(made.location).startswith("a" + "é" * 49 + "-")


def test_while_one_makes_a_store_others_wait_for_it(tmp_path, caplog):
    caplog.set_level("INFO")
    begun, go_on = threading.Event(), threading.Event()

    def make(path):
        begun.set()
        assert go_on.wait(30)
        write(path)

    with futures.ThreadPoolExecutor(4) as pool:
        first = pool.submit(open_or_make, tmp_path, make=make)
        assert begun.wait(30)
        others = [pool.submit(open_or_make, tmp_path, make=None) for _ in range(3)]
        done, _ = futures.wait(others, timeout=0.2)
        assert not done
        go_on.set()
        locations = {running.result(30).location for running in [first, *others]}
    assert len(locations) == 1
    assert "waiting for another process" in caplog.text
    assert len(os.listdir(tmp_path / "stores")) == 1


def test_who_waited_makes_what_the_first_failed_to_make(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def fail(path):
        begun.set()
        assert go_on.wait(30)
        raise errors.CheckpointError("broken")

    with futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(open_or_make, tmp_path, make=fail)
        assert begun.wait(30)
        second = pool.submit(open_or_make, tmp_path)
        go_on.set()
        with pytest.raises(errors.CheckpointError, match="broken"):
            first.result(30)
        assert second.result(30).config == MODEL


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "stores").write_text("in the way")
    with pytest.raises(
        errors.InputOutputError, match=f"cannot write {tmp_path}/stores"
    ):
        open_or_make(tmp_path)


def edit(path, place):
    """Changes one byte, and leaves size and time of change as they were, as cp -p and others do."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path, place):
    """The same to a new file, which takes the place of the old one, as rsync, tar and git do."""
    shutil.copy2(path, path.with_name("new"))
    edit(path.with_name("new"), place)
    os.replace(path.with_name("new"), path)


@cases.each("change", [edit, replace])
@cases.each("size", [1, 10**6, 3 * 10**6])
def test_a_file_is_told_from_what_it_was(tmp_path, size, change):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    # At the second no sample is taken of a large file.
    for place in (0, min(10**5, size - 1), size - 1):
        before = cache.file_identity(path)
        assert cache.file_identity(path) == before
        status = path.stat()
        change(path, place)
        assert path.stat().st_mtime_ns == status.st_mtime_ns
        assert cache.file_identity(path) != before


@cases.each("size", [1, 2**16, 10**6, 2**20, 2**20 + 1, 10**7])
def test_contents_tell_files_apart_where_times_do_not(tmp_path, size):
    # As on a file system without times of inodes' changes: of each identity, all but these times.
    def contents(path):
        return cache.file_identity(path)[-1]

    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    seen = {contents(path)}
    places = range(size) if size == 1 else (0, size // 2, size - 1)
    for place in places if size <= 2**20 else (0, size - 1):
        edit(path, place)
        seen.add(contents(path))
    path.write_bytes(os.urandom(size))
    seen.add(contents(path))
    assert len(seen) >= 3


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(errors.InputOutputError, match=f"cannot read {tmp_path}/absent"):
        cache.file_identity(tmp_path / "absent")

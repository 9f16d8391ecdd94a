"""Cached tokens are those written, or not used."""

import concurrent.futures
import os
import re

import numpy as np
import pytest

from jaxneurons.disk import files
from jaxneurons.text import stream_cache
from tests.support import cases

TOKENS = np.arange(100, dtype=np.int32)
# A document at 0, one at 50, and nothing passed over behind them.
TABLE = np.array([[0, 9, 1, 0], [50, 9, 0, 2], [100, 0, 0, 0]])


def made(count, is_whole):
    whole = stream_cache.Stream(TOKENS, True, TABLE)
    return whole if is_whole else whole.beginning(count)


def save(folder, count, is_whole):
    stream_cache.save(folder, made(count, is_whole))
    [path] = [path for path in folder.iterdir() if f"-{count}-" in path.name]
    return path


@cases.each(
    "limit, count, is_whole",
    [(None, 100, True), (100, 100, True), (101, 100, True), (99, 99, False)],
)
def test_whole_stream_serves_every_limit(tmp_path, limit, count, is_whole):
    save(tmp_path / "made", 100, is_whole=True)
    stream = stream_cache.find(tmp_path / "made", limit)
    np.testing.assert_array_equal(stream.tokens, TOKENS[:count])
    assert stream.is_whole == is_whole
    assert stream.tokens.dtype == np.int32
    np.testing.assert_array_equal(stream.table, TABLE[: 3 if is_whole else 2])


def test_beginning_serves_no_more_than_it_has(tmp_path):
    save(tmp_path, 50, is_whole=False)
    for limit in (1, 50):
        stream = stream_cache.find(tmp_path, limit)
        np.testing.assert_array_equal(stream.tokens, TOKENS[:limit])
        assert not stream.is_whole
    assert stream_cache.find(tmp_path, 51) is None
    assert stream_cache.find(tmp_path, None) is None


def test_folder_holds_nothing_but_entries(tmp_path):
    save(tmp_path, 50, is_whole=False)
    save(tmp_path, 50, is_whole=False)
    save(tmp_path, 100, is_whole=True)
    assert len(list(tmp_path.iterdir())) == 2


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def truncate(path):
    os.truncate(path, 396)


def empty(path):
    os.truncate(path, 0)


def claim_more(path):
    path.rename(path.with_name(path.name.replace("-100-", "-99-")))


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@cases.each("harm", [flip, truncate, empty, claim_more, replace_by_folder])
def test_damaged_entry_is_not_used_and_written_again(tmp_path, caplog, harm):
    path = save(tmp_path, 100, is_whole=True)
    harm(path)
    assert stream_cache.find(tmp_path, None) is None
    assert "its text is tokenized again" in caplog.text
    if harm is not replace_by_folder:
        save(tmp_path, 100, is_whole=True)
        stream = stream_cache.find(tmp_path, None)
        np.testing.assert_array_equal(stream.tokens, TOKENS)


def test_damaged_entry_does_not_hide_a_sound_one(tmp_path):
    flip(save(tmp_path, 60, is_whole=False))
    save(tmp_path, 100, is_whole=True)
    assert len(stream_cache.find(tmp_path, 60).tokens) == 60


def test_foreign_names_are_ignored(tmp_path):
    (tmp_path / ".tmpabc").write_bytes(b"torn")
    (tmp_path / "notes").write_bytes(b"mine")
    assert stream_cache.find(tmp_path, 1) is None


def test_folder_that_cannot_be_made_is_logged(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"in the way")
    stream = made(100, True)
    stream_cache.save(tmp_path / "file" / "folder", stream)
    assert stream_cache.find(tmp_path / "file" / "folder", None) is None
    assert re.search("tokens are not cached: .*: Not a directory", caplog.text)


def test_full_disk_leaves_nothing(tmp_path, caplog, monkeypatch):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    stream_cache.save(tmp_path, made(100, True))
    assert re.search("tokens are not cached: .*: No space left", caplog.text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(case=20)
def test_what_a_killed_process_left_is_replaced(tmp_path):
    (tmp_path / f".tokens{files.PARTIAL}").write_bytes(b"torn" * 1000)
    save(tmp_path, 100, is_whole=True)
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(stream_cache.find(tmp_path, None).tokens, TOKENS)


def test_many_writers_at_once(tmp_path):
    stream = stream_cache.Stream(np.arange(10**5, dtype=np.int32), True, TABLE)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: stream_cache.save(tmp_path, stream), range(40)):
            found = stream_cache.find(tmp_path, None)
            np.testing.assert_array_equal(found.tokens, stream.tokens)
    assert len(list(tmp_path.iterdir())) == 1

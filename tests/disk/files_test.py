"""Files and directories are whole or absent: whoever writes, whatever is in the way, however it ends."""

import contextlib
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess

import pytest

from jaxneurons import errors
from jaxneurons.disk import files
from tests.support import cases


def test_write_atomically_replaces_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "a b%20#ü.json"
    files.write_atomically(path, b"old")
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@cases.each("call", ["fsync", "replace"])
def test_write_atomically_keeps_the_old_file_where_the_system_refuses(
    tmp_path, monkeypatch, call
):
    path = tmp_path / "a"
    files.write_atomically(path, b"old")
    monkeypatch.setattr(os, call, _fails_with_full_disk)
    with pytest.raises(errors.InputOutputError) as caught:
        files.write_atomically(path, b"newer")
    message = str(caught.value)
    assert str(path) in message and "No space left on device (5 bytes needed" in message
    assert message.endswith(" free)")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault(case=26)
@cases.each("kind", ["pipe", "device", "folder", "loop"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    path = tmp_path / "file"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "loop": lambda: path.symlink_to(path),
    }
    make[kind]()
    with pytest.raises(OSError, match="not a regular file|symbolic links"):
        files.read_file(path)


def test_partial_directory_appears_whole(tmp_path):
    target = tmp_path / "new" / "a b%20#ü"
    with files.partial_directory(target, "a thing") as partial:
        (partial / "folder").mkdir()
        (partial / "folder" / "file").write_bytes(b"x")
        assert not target.exists()
    assert (target / "folder" / "file").read_bytes() == b"x"
    assert list(target.parent.iterdir()) == [target]


@cases.each("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_partial_directory_goes_with_an_exception(tmp_path, error):
    with (
        pytest.raises(error),
        files.partial_directory(tmp_path / "a", "a thing") as partial,
    ):
        (partial / "file").write_bytes(b"x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_may_be_filled(tmp_path):
    (tmp_path / "a").mkdir()
    with files.partial_directory(tmp_path / "a", "a thing") as partial:
        (partial / "file").write_bytes(b"x")
    assert os.listdir(tmp_path / "a") == ["file"]


@pytest.mark.fault(case=26)
def test_a_link_means_what_it_points_to(tmp_path):
    (tmp_path / "link").symlink_to("disk/target")
    with files.partial_directory(tmp_path / "link", "a thing") as partial:
        (partial / "file").write_bytes(b"x")
    assert os.listdir(tmp_path / "disk" / "target") == ["file"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.fault(case=26)
def test_a_relative_path_means_the_directory_it_was_given_in(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with files.partial_directory(pathlib.Path("a"), "a thing"):
        os.chdir(tmp_path / "elsewhere")
    assert sorted(os.listdir(tmp_path)) == ["a", "elsewhere"]


def _occupy_with_file(path):
    path.write_bytes(b"mine")


def _occupy_with_directory(path):
    path.mkdir()
    (path / "mine").write_bytes(b"mine")


OCCUPY = [_occupy_with_file, _occupy_with_directory]


@pytest.mark.fault(case=26)
@cases.each("occupy", OCCUPY)
def test_what_is_there_is_refused_and_untouched(tmp_path, occupy):
    occupy(tmp_path / "a")
    before = _snapshot(tmp_path)
    with (
        pytest.raises(errors.OutputExistsError, match="a exists: a thing is never"),
        files.partial_directory(tmp_path / "a", "a thing"),
    ):
        pytest.fail("the block must not run")
    assert _snapshot(tmp_path) == before


@pytest.mark.fault(case=26)
@cases.each("occupy", OCCUPY)
def test_what_comes_meanwhile_is_refused_and_untouched(tmp_path, occupy):
    with (
        pytest.raises(errors.OutputExistsError, match="a exists: a thing is never"),
        files.partial_directory(tmp_path / "a", "a thing"),
    ):
        occupy(tmp_path / "a")
        before = _snapshot(tmp_path / "a")
    assert _snapshot(tmp_path / "a") == before
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.fault(case=14)
def test_a_second_writer_is_refused_while_the_first_goes_on(tmp_path):
    with files.partial_directory(tmp_path / "a", "a thing") as partial:
        (partial / "file").write_bytes(b"first")
        with (
            pytest.raises(errors.OutputExistsError, match="another process"),
            files.partial_directory(tmp_path / "a", "a thing"),
        ):
            pytest.fail("the block must not run")
    assert (tmp_path / "a" / "file").read_bytes() == b"first"


@pytest.mark.fault(case=14)
def test_a_locked_directory_is_refused_and_left_as_it_is(tmp_path):
    with (
        files.locked_directory(tmp_path, "working"),
        pytest.raises(errors.OutputExistsError, match="another process is working"),
        files.locked_directory(tmp_path, "working"),
    ):
        pytest.fail("the block must not run")
    assert tmp_path.is_dir()
    with (
        pytest.raises(errors.InputOutputError, match="cannot lock .*No such file"),
        files.locked_directory(tmp_path / "absent", "working"),
    ):
        pytest.fail("the block must not run")


@pytest.mark.fault(case=14)
def test_of_many_writers_at_once_exactly_one_wins(tmp_path):
    context = multiprocessing.get_context("forkserver")
    with context.Pool(2) as pool:
        for turn in range(8):
            target = tmp_path / str(turn)
            jobs = [(target, number) for number in range(2)]
            results = pool.starmap(_try_to_write, jobs, chunksize=1)
            winners = [number for number, won in enumerate(results) if won]
            assert len(winners) == 1
            assert (target / "number").read_text() == str(winners[0])
    assert sorted(os.listdir(tmp_path), key=int) == [str(n) for n in range(8)]


def _try_to_write(target, number):
    try:
        with files.partial_directory(target, "a thing") as partial:
            (partial / "number").write_text(str(number))
    except errors.OutputExistsError:
        return False
    return True


@pytest.mark.fault(case=15)
def test_what_a_killed_writer_left_is_replaced(tmp_path):
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_write_and_die, args=(tmp_path / "a",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1 and not (tmp_path / "a").exists()
    with files.partial_directory(tmp_path / "a", "a thing") as partial:
        (partial / "new").write_bytes(b"x")
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(tmp_path / "a") == ["new"]


def _write_and_die(target):
    with files.partial_directory(target, "a thing") as partial:
        (partial / "folder").mkdir()
        (partial / "folder" / "old").write_bytes(b"x")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"x")
    (tmp_path / f".a{files.PARTIAL}").symlink_to("precious")
    with (
        pytest.raises(errors.InputOutputError),
        files.partial_directory(tmp_path / "a", "a thing"),
    ):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path / "precious") == ["file"]


def test_a_file_above_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(errors.InputOutputError, match="file/a/b: Not a directory$"),
        files.partial_directory(tmp_path / "file" / "a" / "b", "a thing"),
    ):
        pytest.fail("the block must not run")


@cases.each("call", ["fsync", "rename"])
def test_a_refusal_at_the_end_leaves_nothing(tmp_path, monkeypatch, call):
    monkeypatch.setattr(os, call, _fails_with_full_disk)
    with (
        pytest.raises(errors.InputOutputError, match=r"a: No space left .* free\)$"),
        files.partial_directory(tmp_path / "a", "a thing") as partial,
    ):
        (partial / "file").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(case=13)
def test_a_full_disk_is_named_with_what_is_needed_and_free(small_disk):
    with (
        pytest.raises(errors.InputOutputError) as caught,
        files.partial_directory(small_disk / "a", "a thing") as partial,
    ):
        files.write_atomically(partial / "file", bytes(2**20))
    assert "file: No space left on device (1048576 bytes needed" in str(caught.value)
    assert list(small_disk.iterdir()) == []
    with files.partial_directory(small_disk / "a", "a thing") as partial:
        files.write_atomically(partial / "file", bytes(2**12))


@pytest.mark.fault(case=13)
def test_a_file_that_may_not_grow_is_named(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(errors.InputOutputError, match="a: File too large"):
            files.write_atomically(tmp_path / "a", bytes(2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


GOOD_NAMES = ["a", "tokenizer.json", "...", "a b", "ü中", "%2F", "-x", ".hidden"]
BAD_NAMES = ["", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\\b", "a\0b", "a\nb"]


@pytest.mark.fault(case=1)
def test_plain_names_cannot_mean_a_file_elsewhere():
    assert [name for name in GOOD_NAMES if not files.is_plain_name(name)] == []
    bad = [*BAD_NAMES, "\ud800", "x" * 256, "ü" * 128, None, 3]
    assert [name for name in bad if files.is_plain_name(name)] == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if (
        os.geteuid()
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fails_with_full_disk(*arguments, **keywords):
    raise OSError(28, "No space left on device")


def _snapshot(path):
    with contextlib.suppress(NotADirectoryError):
        return {name: _snapshot(path / name) for name in os.listdir(path)}
    return path.read_bytes()


def test_a_file_that_comes_later_has_its_folder_made_or_is_refused(tmp_path):
    files.prepare(tmp_path / "new" / "folder" / "found.json", "a check")
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "taken").touch()
    with pytest.raises(errors.OutputExistsError, match="a check is never overwritten"):
        files.prepare(tmp_path / "taken", "a check")
    with pytest.raises(errors.InputOutputError, match="cannot write"):
        files.prepare(tmp_path / "taken" / "found.json", "a check")

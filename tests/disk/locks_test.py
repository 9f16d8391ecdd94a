"""One process at a time is in a directory, and nothing of one made for that stays."""

import os
import subprocess
import sys
import time
from concurrent import futures

import pytest

from jaxneurons import errors
from jaxneurons.disk import locks
from tests.support import cases

HOLD = """
import pathlib, sys
from jaxneurons.disk import locks
with locks.locked(pathlib.Path(sys.argv[1]), make=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@cases.each("make", [True, False])
def test_turns_do_not_overlap_and_nothing_stays(tmp_path, make):
    path, inside, most = tmp_path / "lock", [], []
    if not make:
        path.mkdir()

    def take_turn(number):
        with locks.locked(path, make=make):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.001)
            inside.remove(number)

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(take_turn, range(100)))
    assert most == [1] * 100
    assert os.listdir(tmp_path) == ([] if make else ["lock"])


def test_who_does_not_wait_refuses(tmp_path):
    with (
        locks.locked(tmp_path),
        pytest.raises(errors.OutputExistsError, match="taken. Wait until it has ended"),
        locks.locked(tmp_path, refusal="taken"),
    ):
        pytest.fail("the block must not run")


def test_what_was_put_there_stays(tmp_path):
    for name in ("renamed", "filled"):
        with locks.locked(tmp_path / "lock", make=True):
            (tmp_path / "lock" / "file").write_bytes(b"kept")
            if name == "renamed":
                os.rename(tmp_path / "lock", tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["lock", "renamed"]


def test_an_error_frees_the_lock(tmp_path):
    with pytest.raises(ValueError), locks.locked(tmp_path / "lock", make=True):
        raise ValueError
    with locks.locked(tmp_path / "lock", refusal="taken", make=True):
        pass
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_held_is_free(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout.readline() == b"held\n"
        with futures.ThreadPoolExecutor(1) as pool:

            def take_turn():
                with locks.locked(path, make=True):
                    return True

            waiting = pool.submit(take_turn)
            assert not futures.wait([waiting], timeout=0.2).done
            child.kill()
            assert waiting.result(30)
    assert os.listdir(tmp_path) == []

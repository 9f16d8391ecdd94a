"""One process at a time has the file open, and nothing of it stays."""

import os
import subprocess
import sys
import time
from concurrent import futures

import pytest

from jaxneurons.disk import locks

HOLD = """
import sys
from jaxneurons.disk import locks
with locks.locked_file(__import__("pathlib").Path(sys.argv[1])) as file:
    file.write(b"mine")
    file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_turns_do_not_overlap_and_nothing_stays(tmp_path):
    path, inside, most = tmp_path / "lock", [], []

    def take_turn(number):
        with locks.locked_file(path) as file:
            inside.append(number)
            most.append(len(inside))
            assert os.fstat(file.fileno()).st_size == 0
            file.write(b"x")
            file.flush()
            time.sleep(0.001)
            inside.remove(number)

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(take_turn, range(100)))
    assert most == [1] * 100
    assert os.listdir(tmp_path) == []


def test_a_renamed_file_stays(tmp_path):
    with locks.locked_file(tmp_path / "lock") as file:
        file.write(b"kept")
        os.replace(file.name, tmp_path / "result")
    assert os.listdir(tmp_path) == ["result"]
    assert (tmp_path / "result").read_bytes() == b"kept"


def test_an_error_frees_the_lock(tmp_path):
    with pytest.raises(ValueError), locks.locked_file(tmp_path / "lock"):
        raise ValueError
    with locks.locked_file(tmp_path / "lock"):
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
                with locks.locked_file(path) as file:
                    return os.fstat(file.fileno()).st_size

            waiting = pool.submit(take_turn)
            assert not futures.wait([waiting], timeout=0.2).done
            child.kill()
            assert waiting.result(30) == 0
    assert os.listdir(tmp_path) == []

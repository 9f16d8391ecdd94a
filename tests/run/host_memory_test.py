"""The limit of memory that holds is the smallest on the way from the process's control group to the root."""

import os
import pathlib
import subprocess
import sys

from jaxneurons.run import host_memory
from tests.support import cases
from tests.support.helpers import REPOSITORY

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
UNLIMITED = 0x7FFFFFFFFFFFF000


def available(tmp_path: pathlib.Path, groups: str, limits: dict[str, str | int]) -> int:
    """What is found in a tree of control groups with these limits, for a process in these groups."""
    for name, limit in limits.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    (tmp_path / "cgroup").write_text(groups)
    return host_memory.available(tmp_path / "cgroup", tmp_path / "mount")


@cases.each(
    "groups, limits, expected",
    [
        # No limit anywhere, and no files at all.
        ("0::/\n", {"memory.max": "max"}, PHYSICAL),
        ("", {}, PHYSICAL),
        # Version 2: the process's own, one above it, the root's, and one that slows it down.
        ("0::/a/b\n", {"a/b/memory.max": 7000, "a/memory.max": 9000}, 7000),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": 9000}, 9000),
        ("0::/\n", {"memory.max": 5000}, 5000),
        ("0::/a\n", {"a/memory.max": 9000, "a/memory.high": 8000}, 8000),
        # A group beside the process's own says nothing.
        ("0::/a\n", {"a/memory.max": 9000, "b/memory.max": 10}, 9000),
        # Version 1, alone or beside version 2.
        (
            "4:cpu,memory:/job/step\n0::/\n",
            {
                "memory/job/memory.limit_in_bytes": 6000,
                "memory/job/step/memory.limit_in_bytes": UNLIMITED,
                "memory/memory.limit_in_bytes": UNLIMITED,
            },
            6000,
        ),
        # In a container the path is often the host's, and the mount the container's own group.
        ("4:memory:/docker/1f\n", {"memory/memory.limit_in_bytes": 4000}, 4000),
        ("0::/../../x:y/z\n", {"x:y/z/memory.max": 3000}, 3000),
    ],
)
def test_the_smallest_limit_holds(tmp_path, groups, limits, expected):
    assert available(tmp_path, groups, limits) == expected


def test_without_control_groups_it_is_the_machine(tmp_path):
    assert host_memory.available(tmp_path / "no", tmp_path / "none") == PHYSICAL


def test_a_limit_of_address_space_holds():
    program = "from jaxneurons.run import host_memory; print(host_memory.available())"
    limited = f"ulimit -v {2**21} && exec {sys.executable} -c '{program}'"
    done = subprocess.run(
        ["sh", "-c", limited],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) <= 2**31

"""How much memory this process may have: the machine's, or less where it runs under a limit.

In: the kernel's own files. Out: bytes. A container, a batch system (SLURM's --mem) or systemd puts a process into
a control group with a limit, and groups lie in groups: the smallest limit from the process's own up to the root holds.
"""

import os
import pathlib
import resource
from collections.abc import Iterator

PROC = pathlib.Path("/proc/self/cgroup")
MOUNT = pathlib.Path("/sys/fs/cgroup")
_UNIFIED_LIMITS = ("memory.max", "memory.high")
_LEGACY_LIMITS = ("memory.limit_in_bytes",)


def available(proc: pathlib.Path = PROC, mount: pathlib.Path = MOUNT) -> int:
    """Bytes that this process may have.

    Args:
        proc: the file that names the process's groups.
        mount: where control groups are mounted.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = [
        limit
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
        if (limit := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    return min([physical, *own, *_group_limits(proc, mount)])


def _group_limits(proc: pathlib.Path, mount: pathlib.Path) -> Iterator[int]:
    """Every limit on the process's way to the root, in version 1 and 2 of control groups."""
    try:
        # The name of a group may be in any encoding.
        lines = proc.read_text(errors="surrogateescape").splitlines()
    except OSError:
        # No Linux, or no /proc: only the root can be looked at.
        lines = []
    for line in [*lines, "0::/", "0:memory:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path:
            continue
        if controllers == "":
            yield from _limits(mount, path, _UNIFIED_LIMITS)
        elif "memory" in controllers.split(","):
            yield from _limits(mount / "memory", path, _LEGACY_LIMITS)


def _limits(root: pathlib.Path, path: str, names: tuple[str, ...]) -> Iterator[int]:
    """Limits of a group and of those above it, up to the root of the mount."""
    # A path that leads above the root is that of a group which cannot be seen from here.
    group = pathlib.PurePosixPath(*[part for part in path.split("/") if part != ".."])
    for folder in (group, *group.parents):
        for name in names:
            try:
                text = (root / folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdecimal():
                yield int(text)

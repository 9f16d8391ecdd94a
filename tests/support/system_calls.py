"""A child process that meets a fault at the k-th of its system calls: it is killed, or the call gives an error.

strace can do the same, but counts each thread and each kind of call by itself, so that no sweep of its
numbers meets every call of a process with many threads; here all are counted together.
"""

import collections
import functools
import io
import os
import pathlib
from collections.abc import Callable
from multiprocessing import connection, process, reduction
from typing import Any, NamedTuple

import pytest

from tests.support import dying, held_calls

SYNCS = frozenset({"fsync", "fdatasync"})
RENAMES = frozenset({"rename", "renameat", "renameat2"})
# All that a full disk refuses.
GROWTHS = frozenset(held_calls.NUMBERS) - SYNCS
_SECONDS_TO_EXIT = 60


class Fault(NamedTuple):
    """What befalls one call, or all from it on.

    Attributes:
        names: of the calls that are counted.
        after: so many of them go well.
        error: the number that the next gives instead; None kills.
        lasts: whether those after it give it too.
    """

    names: frozenset[str]
    after: float = float("inf")
    error: int | None = None
    lasts: bool = False

    def strikes(self, before: int) -> bool:
        """Whether it befalls a call that so many came before."""
        return before == self.after or (self.lasts and before > self.after)


class Outcome(NamedTuple):
    """How a child ended.

    Attributes:
        code: its exit code, or minus the signal that killed it.
        counts: of the calls by name.
        struck: the call and path that the fault befell first; None if there were not so many.
    """

    code: int
    counts: collections.Counter[str]
    struck: str | None


def run(
    fault: Fault, folder: pathlib.Path, target: Callable[..., None], *arguments: Any
) -> Outcome:
    """Calls target(*arguments) in a child that meets a fault; skips the test where calls cannot be held.

    Args:
        fault: what it meets.
        folder: calls count that are of a file below this, a real path.
        target: a function of a test module.
        arguments: its arguments.
    """
    if reason := _unavailable():
        pytest.skip(f"system calls cannot be held here: {reason}")
    return _run(fault, folder, target, *arguments)


@functools.cache
def _unavailable() -> str | None:
    """Why calls cannot be held here; None if they can."""
    here, there = dying.CONTEXT.Pipe()
    child = dying.CONTEXT.Process(target=_try_to_hold, args=(there,))
    child.start()
    there.close()
    reason = here.recv()
    child.join()
    return reason


def _try_to_hold(to_parent: connection.Connection) -> None:
    try:
        os.close(held_calls.hold(SYNCS))
        to_parent.send(None)
    except OSError as error:
        to_parent.send(str(error))


def _run(
    fault: Fault, folder: pathlib.Path, target: Callable[..., None], *arguments: Any
) -> Outcome:
    here, there = dying.CONTEXT.Pipe()
    child = dying.CONTEXT.Process(
        target=_begin, args=(there, fault.names, target, *arguments)
    )
    child.start()
    there.close()
    try:
        with open(reduction.recv_handle(here), "rb", buffering=0) as listener:
            counts, struck = _watch(listener, child, fault, folder)
        child.join(_SECONDS_TO_EXIT)
    finally:
        child.kill()
        child.join()
    return Outcome(child.exitcode, counts, struck)


def _begin(
    to_watcher: connection.Connection,
    names: frozenset[str],
    target: Callable[..., None],
    *arguments: Any,
) -> None:
    listener = held_calls.hold(names)
    reduction.send_handle(to_watcher, listener, os.getppid())
    os.close(listener)
    to_watcher.close()
    target(*arguments)


def _watch(
    listener: io.FileIO,
    child: process.BaseProcess,
    fault: Fault,
    folder: pathlib.Path,
) -> tuple[collections.Counter[str], str | None]:
    """Answers a child's calls until its end; gives their counts and which the fault befell first."""
    counts: collections.Counter[str] = collections.Counter()
    struck = None
    for call in held_calls.calls(listener):
        error = 0
        if call.needs_the_disk and pathlib.Path(call.path).is_relative_to(folder):
            if fault.strikes(counts.total()):
                struck = struck or f"{call.name} {call.path}"
                if fault.error is None:
                    child.kill()
                    break
                error = fault.error
            counts[call.name] += 1
        held_calls.answer(listener, call, error)
    return counts, struck

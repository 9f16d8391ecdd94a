"""A child process whose system calls are numbered: at the k-th it is killed, or it is told of an error instead.

The kernel holds the calls of interest until this process has looked at them (seccomp's user
notification), so those of all threads are counted together, C++'s as well as Python's. strace
counts every thread and every kind of call by itself, and no sweep of its numbers meets them all.
"""

import collections
import contextlib
import ctypes
import fcntl
import functools
import io
import os
import pathlib
import platform
import select
import struct
from collections.abc import Callable, Iterator
from multiprocessing import connection, process, reduction
from typing import Any, NamedTuple

import dying
import pytest

# Numbers of x86-64.
_NUMBERS = {
    "write": 1,
    "open": 2,
    "pwrite64": 18,
    "writev": 20,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "rename": 82,
    "mkdir": 83,
    "openat": 257,
    "mkdirat": 258,
    "renameat": 264,
    "fallocate": 285,
    "pwritev": 296,
    "renameat2": 316,
    "pwritev2": 328,
}
SYNCS = frozenset({"fsync", "fdatasync"})
RENAMES = frozenset({"rename", "renameat", "renameat2"})
# All that a full disk refuses; of the opens those that create a file.
GROWTHS = frozenset(_NUMBERS) - SYNCS
# Where the argument with the path is, of calls that have one; the others begin with a descriptor.
_PATH_PLACES = {"open": 0, "mkdir": 0, "rename": 0} | dict.fromkeys(
    ("openat", "mkdirat", "renameat", "renameat2"), 1
)
_NAMES = {number: name for name, number in _NUMBERS.items()}
# In place of a descriptor, the directory that the process is in.
_HERE, _32_BITS = 2**32 - 100, 2**32 - 1
_LONGEST_PATH = 4096
_SECONDS_WITHOUT_A_CALL = 120

# linux/seccomp.h, linux/prctl.h and linux/bpf_common.h.
_SET_NO_NEW_PRIVILEGES = 38
_SECCOMP, _SET_FILTER, _NEW_LISTENER = 317, 1, 8
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_GO_ON = 1
_INSTRUCTION = struct.Struct("=HBBI")
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")


class Fault(NamedTuple):
    """What befalls one call, or all from it on.

    Attributes:
        names: of the calls that are counted.
        after: so many of them go well.
        error: the number that the next gets instead; None kills.
        lasts: whether those after it get it too.
    """

    names: frozenset[str]
    after: float = float("inf")
    error: int | None = None
    lasts: bool = False


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


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _Call(NamedTuple):
    request: int
    thread: int
    name: str
    arguments: tuple[int, ...]

    @property
    def path(self) -> str:
        """Of the file; empty where a kill came between."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if self.name in _PATH_PLACES:
                return os.path.join(os.readlink(self._folder()), self._name())
            return os.readlink(self._descriptor())
        return ""

    @property
    def creates(self) -> bool:
        """Whether an open would make the file."""
        return bool(self.arguments[_PATH_PLACES[self.name] + 1] & os.O_CREAT)

    def _folder(self) -> str:
        """What a relative path begins at."""
        here = _PATH_PLACES[self.name] == 0 or self.arguments[0] & _32_BITS == _HERE
        return f"/proc/{self.thread}/cwd" if here else self._descriptor()

    def _descriptor(self) -> str:
        return f"/proc/{self.thread}/fd/{self.arguments[0]}"

    def _name(self) -> str:
        with open(f"/proc/{self.thread}/mem", "rb", buffering=0) as memory:
            memory.seek(self.arguments[_PATH_PLACES[self.name]])
            return os.fsdecode(memory.read(_LONGEST_PATH).partition(b"\0")[0])


def run(
    fault: Fault, folder: pathlib.Path, target: Callable[..., None], *arguments: Any
) -> Outcome:
    """Calls target(*arguments) in a child that meets a fault; skips the test where that cannot be.

    Args:
        fault: what it meets.
        folder: calls count that are of a file below this, a real path.
        target: a function of a test module.
        arguments: its arguments.
    """
    if reason := _unavailable():
        pytest.skip(reason)
    return _run(fault, folder, target, *arguments)


@functools.cache
def _unavailable() -> str | None:
    """Why calls cannot be watched here; None if they can."""
    if platform.machine() != "x86_64":
        return "the numbers of system calls are known for x86-64 alone"
    try:
        _run(Fault(SYNCS), pathlib.Path("/"), os.getpid)
    except EOFError:
        return "the kernel lets no process watch its child's calls"
    return None


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
        child.join(_SECONDS_WITHOUT_A_CALL)
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
    listener = _hold_calls(sorted(_NUMBERS[name] for name in names))
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
    """Answers a child's calls until it has ended; gives their counts and which the fault befell first."""
    counts: collections.Counter[str] = collections.Counter()
    struck = None
    for call in _calls(listener):
        error = 0
        if _is_counted(call, folder):
            before = counts.total()
            counts[call.name] += 1
            if before == fault.after or fault.lasts and before > fault.after:
                struck = struck or f"{call.name} {call.path}"
                if fault.error is None:
                    child.kill()
                    break
                error = fault.error
        _answer(listener, call, error)
    return counts, struck


def _calls(listener: io.FileIO) -> Iterator[_Call]:
    """Calls that the kernel holds, until nobody is left who could make one."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ready = poll.poll(1000 * _SECONDS_WITHOUT_A_CALL)
        assert ready, "the child hangs"
        if not ready[0][1] & select.POLLIN:
            return
        if call := _receive(listener):
            yield call


def _receive(listener: io.FileIO) -> _Call | None:
    """The next call; None where its process was killed meanwhile."""
    content = bytearray(_REQUEST.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, content)
    except FileNotFoundError:
        return None
    request, thread, _, number, _, _, *arguments = _REQUEST.unpack(content)
    return _Call(request, thread, _NAMES[number], tuple(arguments))


def _answer(listener: io.FileIO, call: _Call, error: int) -> None:
    """Lets a call go on, or has it give an error."""
    content = _RESPONSE.pack(call.request, 0, -error, 0 if error else _GO_ON)
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, content)


def _is_counted(call: _Call, folder: pathlib.Path) -> bool:
    if call.name in ("open", "openat") and not call.creates:
        return False
    return pathlib.Path(call.path).is_relative_to(folder)


def _hold_calls(numbers: list[int]) -> int:
    """Has the kernel hold these calls of this thread and of those it starts; gives what to learn of them by."""
    program = _program(numbers)
    content = ctypes.create_string_buffer(program, len(program))
    size = len(program) // _INSTRUCTION.size
    header = _Program(size, ctypes.addressof(content))
    libc = ctypes.CDLL(None, use_errno=True)
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    libc.prctl(_SET_NO_NEW_PRIVILEGES, one, zero, zero, zero)
    listener = libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, ctypes.byref(header))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _program(numbers: list[int]) -> bytes:
    """Instructions that ask about these numbers of calls, and let all others pass."""
    left = range(len(numbers), 0, -1)
    return b"".join(
        [
            _INSTRUCTION.pack(_LOAD, 0, 0, 0),
            *(
                _INSTRUCTION.pack(_JUMP_IF_EQUAL, ahead, 0, number)
                for ahead, number in zip(left, numbers, strict=True)
            ),
            _INSTRUCTION.pack(_RETURN, 0, 0, _ALLOW),
            _INSTRUCTION.pack(_RETURN, 0, 0, _ASK),
        ]
    )

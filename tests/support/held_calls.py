"""System calls that the kernel holds until another process has looked at them (seccomp's user notification).

A process asks for it with `hold` and hands the listener on; the other gets the calls of all its threads,
C++'s as well as Python's, in one order, and lets each go on or has it give an error.
"""

import contextlib
import ctypes
import fcntl
import io
import os
import platform
import select
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# Numbers of x86-64.
NUMBERS = {
    "write": 1,
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
_NAMES = {number: name for name, number in NUMBERS.items()}
# Which argument is the path; the calls that are not here begin with a descriptor.
_PATH_PLACES = {"mkdir": 0, "rename": 0} | dict.fromkeys(
    ("openat", "mkdirat", "renameat", "renameat2"), 1
)
_MAKING = ("mkdir", "mkdirat", "openat")
# In place of a descriptor: the directory that the process is in.
_HERE, _32_BITS = 2**32 - 100, 2**32 - 1
_LONGEST_PATH = 4096
_LONGEST_SILENCE = 120

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


class Call(NamedTuple):
    """A call that is held.

    Attributes:
        request: the kernel's number for it.
        thread: which makes it.
        name: a key of `NUMBERS`.
        arguments: six of them.
    """

    request: int
    thread: int
    name: str
    arguments: tuple[int, ...]

    @property
    def path(self) -> str:
        """Of the file; empty where the process was killed meanwhile."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if self.name in _PATH_PLACES:
                return os.path.join(os.readlink(self._folder()), self._name())
            return os.readlink(self._descriptor())
        return ""

    @property
    def needs_the_disk(self) -> bool:
        """Whether a disk could refuse it: not where it would make what is there, or an open would make nothing."""
        if self.name == "openat" and not self.arguments[2] & os.O_CREAT:
            return False
        return self.name not in _MAKING or not os.path.lexists(self.path)

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


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def hold(names: Iterable[str]) -> int:
    """Has the kernel hold these calls of this thread and of those it starts; gives the listener.

    Raises:
        OSError: it does not do that here.
    """
    if platform.machine() != "x86_64":
        raise OSError("the numbers of system calls are known for x86-64 alone")
    program = _program([NUMBERS[name] for name in names])
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


def calls(listener: io.FileIO) -> Iterator[Call]:
    """Calls as they come, until nobody is left who could make one; each must be answered."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        ready = poll.poll(1000 * _LONGEST_SILENCE)
        assert ready, f"no call and no end within {_LONGEST_SILENCE} s"
        if not ready[0][1] & select.POLLIN:
            return
        if call := _receive(listener):
            yield call


def answer(listener: io.FileIO, call: Call, error: int = 0) -> None:
    """Lets a call go on, or has it give an error instead."""
    content = _RESPONSE.pack(call.request, 0, -error, 0 if error else _GO_ON)
    # Its process may have been killed meanwhile.
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, content)


def _receive(listener: io.FileIO) -> Call | None:
    """The next call; None where its process was killed meanwhile."""
    content = bytearray(_REQUEST.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, content)
    except FileNotFoundError:
        return None
    request, thread, _, number, _, _, *arguments = _REQUEST.unpack(content)
    return Call(request, thread, _NAMES[number], tuple(arguments))


def _program(numbers: list[int]) -> bytes:
    """Instructions that ask about calls of these numbers and let all others pass."""
    jumps = [
        _INSTRUCTION.pack(_JUMP_IF_EQUAL, len(numbers) - place, 0, number)
        for place, number in enumerate(numbers)
    ]
    load = _INSTRUCTION.pack(_LOAD, 0, 0, 0)
    pass_on, ask = (_INSTRUCTION.pack(_RETURN, 0, 0, end) for end in (_ALLOW, _ASK))
    return b"".join([load, *jumps, pass_on, ask])

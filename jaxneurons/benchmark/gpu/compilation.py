"""What XLA's compiler made of a program for a GPU: the compiled program in; temporaries, calls and kernels out."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import jax

_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
_CALLED = re.compile(r"(?:body|condition)=%?([\w.-]+)")
_STARTED = re.compile(r" (?:fusion|custom-call|copy|sort|scatter)\(")
_INTEGERS = re.compile(r"[su]32\[([0-9,]+)\]")


class Program(NamedTuple):
    """A compiled program.

    Attributes:
        temporaries: bytes beside arguments and results.
        calls: of libraries, by name.
        kernels: fusions, calls and copies that it starts, those of a loop once.
        integers: elements of the largest array of 32-bit integers that it writes.
        has_relu: whether a product adds the bias and applies ReLU itself.
    """

    temporaries: int
    calls: dict[str, int]
    kernels: int
    integers: int
    has_relu: bool


def read(compiled: jax.stages.Compiled) -> Program:
    """Reads a compiled program."""
    text, memory = compiled.as_text(), compiled.memory_analysis()
    # XLA tells of all that it compiled itself.
    assert text is not None and memory is not None
    lines = list(_instructions(text))
    calls: dict[str, int] = {}
    for line in lines:
        if called := re.search(r'custom_call_target="([^"]+)"', line):
            calls[called[1]] = calls.get(called[1], 0) + 1
    return Program(
        temporaries=memory.temp_size_in_bytes,
        calls=calls,
        kernels=sum(bool(_STARTED.search(line)) for line in lines),
        integers=max(map(_largest, lines), default=0),
        has_relu="BIAS_RELU" in text,
    )


def _instructions(text: str) -> Iterator[str]:
    """The lines of the entry and of loops: what other computations hold is inside a kernel."""
    computations: dict[str, list[str]] = {}
    waiting, lines = [], None
    for line in text.splitlines():
        if header := _HEADER.match(line):
            lines = computations.setdefault(header[2], [])
            waiting += [header[2]] if header[1] else []
        elif lines is not None:
            lines.append(line)
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in computations[name]:
            waiting += _CALLED.findall(line)
            yield line


def _largest(line: str) -> int:
    """Elements of the largest array of 32-bit integers that an instruction writes."""
    if not _STARTED.search(line):
        return 0
    # "%name = result kind(operands), ...": a result may be a tuple of arrays.
    result = _STARTED.split(line.partition(" = ")[2])[0]
    sizes = [math.prod(map(int, each.split(","))) for each in _INTEGERS.findall(result)]
    return max(sizes, default=0)

"""One check in a process of its own: it cannot take the others down, outlast its time, or keep their memory.

A function that yields figures in; the figures out, as far as it came, and what went wrong.
"""

import importlib
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from jaxneurons.benchmark import processes
from jaxneurons.benchmark.gpu.figure import Figure
from jaxneurons.command import backend


class Part(NamedTuple):
    """A check.

    Attributes:
        name: for people.
        module: of the function.
        function: yields `Figure`s.
        arguments: picklable.
    """

    name: str
    module: str
    function: str
    arguments: tuple[Any, ...]

    @property
    def kind(self) -> str:
        """The name without what it is applied to."""
        return self.name.partition(",")[0]


class Outcome(NamedTuple):
    """What came of a check.

    Attributes:
        figures: as far as it came.
        problem: why it came no further, in words; empty if it came to its end.
        seconds: it took, its process's start included.
    """

    figures: list[Figure]
    problem: str
    seconds: float


def run(part: Part, most_seconds: float) -> Outcome:
    """Runs a check for no longer than that."""
    began = time.monotonic()
    figures: list[Figure] = []
    if most_seconds <= 0:
        return Outcome(figures, "not run: no time left", 0.0)
    with processes.started(_serve, part) as connection:
        while True:
            left = began + most_seconds - time.monotonic()
            if not connection.poll(max(left, 0)):
                problem = f"not finished within {most_seconds:.3g} s"
                break
            try:
                said = connection.recv()
            except EOFError:
                problem = "failed: its process ended; what it said is above"
                break
            if isinstance(said, str):
                problem = said
                break
            figures.append(said)
    return Outcome(figures, problem, time.monotonic() - began)


def _serve(connection: Connection, part: Part) -> None:
    try:
        # As the commands do; the check itself starts JAX, or leaves the device to processes of its own.
        backend.ask_for_memory()
        module = importlib.import_module(part.module)
        for figure in getattr(module, part.function)(*part.arguments):
            connection.send(figure)
        connection.send("")
    # Of any type: each check stands for itself.
    except Exception as error:  # noqa: BLE001
        line = " ".join(str(error).split())[:300]
        connection.send(f"failed: {type(error).__name__}: {line}")

"""Contenders in processes of their own, measured in turn: names in, seconds and peak memory out.

A contender is a module with a function `make`, which prepares, warms up and returns the function to measure.
Only its own process imports it, so that nobody's memory holds another's library.
"""

import contextlib
import importlib
import importlib.metadata
import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.command import allocator, backend


class Contender(NamedTuple):
    """Who is measured.

    Attributes:
        name: for people.
        module: has `make(*arguments)`, which returns a function that takes nothing and returns
            a dict of JSON values to keep beside its seconds.
        arguments: picklable.
        keeps_freed_memory: whether its process does, as the scripts do (`allocator`).
    """

    name: str
    module: str
    arguments: tuple[Any, ...]
    keeps_freed_memory: bool = True


class Result(NamedTuple):
    """What was measured.

    Attributes:
        rounds: for each round `wall_seconds`, `cpu_seconds` (of all threads) and what the measured
            function returned.
        peak_bytes: the most memory that the process ever held.
    """

    rounds: list[dict[str, Any]]
    peak_bytes: int

    def seconds(self, kind: str) -> list[float]:
        """By round; kind is "wall" or "cpu"."""
        return [measured[f"{kind}_seconds"] for measured in self.rounds]


def check_jax() -> None:
    """Raises UsageError where JAX cannot start, found out by a process of its own: this one leaves devices alone."""
    with started(_find_devices, None) as connection:
        if problem := _receive("JAX's start", connection):
            raise errors.UsageError(problem)


def _find_devices(connection: Connection, _: None) -> None:
    try:
        backend.find_devices()
        connection.send("")
    except errors.UsageError as error:
        connection.send(str(error))


def alternate(
    contenders: Sequence[Contender],
    rounds: int,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Result]:
    """Measures every contender once a round, every second round in reverse order.

    Raises:
        JaxneuronsError: a contender's process ended too early; it has said why.
    """
    results: dict[str, Result] = {}
    with contextlib.ExitStack() as stack:
        running = {}
        for contender in contenders:
            report(f"preparing {contender.name}")
            running[contender.name] = stack.enter_context(started(_serve, contender))
            _receive(contender.name, running[contender.name])
        measured = _rounds(running, rounds, report)
        for name, connection in running.items():
            connection.send(False)
            results[name] = Result(measured[name], _receive(name, connection))
    return results


def _rounds(
    running: Mapping[str, Connection], rounds: int, report: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    for number in range(rounds):
        names = list(running)
        for name in names if number % 2 == 0 else reversed(names):
            running[name].send(True)
            measured[name].append(_receive(name, running[name]))
            seconds = measured[name][-1]["wall_seconds"]
            report(f"round {number + 1} of {rounds}: {name} {seconds:.2f} s")
    return measured


@contextlib.contextmanager
def started(
    serve: Callable[[Connection, Any], None], argument: Any
) -> Iterator[Connection]:
    """Runs serve(connection, argument) in a process of its own while the block talks to it; then it is ended."""
    # A forked process would inherit threads and memory of this one.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, argument), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        # A process that waits for a broken device hears nothing gentler.
        process.kill()
        process.join()


def _receive(name: str, connection: Connection) -> Any:
    try:
        return connection.recv()
    except EOFError:
        raise errors.JaxneuronsError(
            f"the process of {name!r} ended before it was measured; what it says is above"
        ) from None


def _serve(connection: Connection, contender: Contender) -> None:
    # Ctrl-C is for the process that started this one, which then ends it without a word.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if contender.keeps_freed_memory:
        allocator.keep_freed_memory()
    measured = importlib.import_module(contender.module).make(*contender.arguments)
    connection.send("ready")
    while connection.recv():
        connection.send(_measure(measured))
    connection.send(peak_bytes(resource.RUSAGE_SELF))


def best(call: Callable[[], Any], times: int = 10) -> dict[str, Any]:
    """Seconds of the fastest of several calls, for a function that is measured to return."""

    def once() -> dict[str, Any]:
        call()
        return {}

    measured = [_measure(once) for _ in range(times)]
    return min(measured, key=lambda found: found["wall_seconds"])


def _measure(measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = measured()
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        **found,
    }


def peak_bytes(whose: int) -> int:
    """The most memory that this process, or one of its children, ever held; `whose`: as of `resource.getrusage`."""
    peak = resource.getrusage(whose).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak if sys.platform == "darwin" else 1024 * peak

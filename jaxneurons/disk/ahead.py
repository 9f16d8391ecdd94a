"""Work that overlaps: loading one item ahead, and finishing several at a time.

In: a function that loads or finishes, and its items. Out: in order of the items what it gave, and for what was
loaded how long it was waited for.
"""

import collections
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Done = TypeVar("Done")


def load_ahead(
    load: Callable[[Item], Loaded], items: Sequence[Item]
) -> Generator[tuple[Item, Loaded, float], None, None]:
    """Each item, what `load` gives for it, and the seconds spent waiting; at most two are loaded at a time."""
    with futures.ThreadPoolExecutor(1, thread_name_prefix="load-ahead") as reader:
        pending = [reader.submit(load, item) for item in items[:1]]
        for number, item in enumerate(items, start=1):
            began = time.perf_counter()
            # Taken out: a future holds its result, and would until the next but one is read.
            loaded = pending.pop().result()
            waited = time.perf_counter() - began
            if number < len(items):
                pending.append(reader.submit(load, items[number]))
            yield item, loaded, waited
            del loaded


def start_workers(number: int) -> futures.ThreadPoolExecutor:
    """Threads that have all begun: leaving `with` waits for them, whatever interrupts the work.

    An executor starts its threads when there is work for them, and an interrupt just then makes it forget one.
    """
    workers = futures.ThreadPoolExecutor(number, thread_name_prefix="worker")
    all_begun = threading.Event()
    try:
        for _ in range(number):
            # Each keeps a thread busy, so that the next needs another.
            workers.submit(all_begun.wait)
    finally:
        all_begun.set()
    return workers


def finish_together(
    finish: Callable[[Item], Done],
    items: Iterable[Item],
    workers: futures.Executor,
    at_once: int,
) -> Iterator[Done]:
    """What `finish` gives for each item; `at_once` of them are under way in `workers` at a time.

    Of what came after an error, or after the last result taken, some may be under way until the workers end.
    """
    pending: collections.deque[futures.Future[Done]] = collections.deque()
    for item in items:
        pending.append(workers.submit(finish, item))
        # Two items would be held while the next is waited for.
        del item
        if len(pending) == at_once:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()

"""Work that overlaps: loading one item ahead, and finishing several at a time.

In: a function that loads or finishes, and its items. Out: what it gave, in order of the items.
"""

import collections
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Done = TypeVar("Done")


def load_ahead(
    load: Callable[[Item], Loaded], items: Sequence[Item]
) -> Iterator[tuple[Item, Loaded, float]]:
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


def finish_together(
    finish: Callable[[Item], Done], items: Iterable[Item], at_once: int
) -> Generator[Done, None, None]:
    """What `finish` gives for each item, `at_once` of them under way at a time, each in a thread.

    Close it before what the threads work on goes: that waits for those under way.
    """
    with futures.ThreadPoolExecutor(at_once, thread_name_prefix="finish") as workers:
        pending: collections.deque[futures.Future[Done]] = collections.deque()
        for item in items:
            pending.append(workers.submit(finish, item))
            # Not held until the next is there.
            del item
            if len(pending) == at_once:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

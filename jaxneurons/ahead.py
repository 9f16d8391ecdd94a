"""Loading one item ahead: while one is at work, a thread loads the next.

In: a function that loads, and what to load. Out: what was loaded, in order, and how long it was waited for.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


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

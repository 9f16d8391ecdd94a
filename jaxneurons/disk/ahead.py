"""Loading one item ahead of the work on the last.

In: a function that loads, and its items. Out: in order of the items what it gave, and how long it
was waited for.
"""

import time
from collections.abc import Callable, Generator, Sequence
from concurrent import futures
from typing import TypeVar

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def load_ahead(
    load: Callable[[Item], Loaded], items: Sequence[Item]
) -> Generator[tuple[Item, Loaded, float], None, None]:
    """Yields each item, what `load` gives for it, and the seconds spent waiting.

    At most two are loaded at a time. Closed before its end, it lets the one under way be loaded.
    """
    reader = futures.ThreadPoolExecutor(1, thread_name_prefix="load-ahead")
    try:
        pending = [reader.submit(load, item) for item in items[:1]]
        for number, item in enumerate(items, start=1):
            began = time.perf_counter()
            # Taken out: a future keeps its result.
            loaded = pending.pop().result()
            waited = time.perf_counter() - began
            pending += [
                reader.submit(load, after) for after in items[number : number + 1]
            ]
            yield item, loaded, waited
            del loaded
    finally:
        # Does not wait: what is given up may be collected, and closed, in the reader's own thread.
        reader.shutdown(wait=False, cancel_futures=True)

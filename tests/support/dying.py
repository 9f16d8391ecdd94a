"""Processes that are killed as `kill -9` does: at the k-th rename or sync, or after a while."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.support import forked

CALLS = ("rename", "replace", "fsync")


def run(
    target: Callable[..., None],
    *arguments: Any,
    seconds: float | None = None,
    calls: int | None = None,
    until: Callable[[], bool] | None = None,
) -> bool:
    """Whether a process that calls target(*arguments) is done, or was killed on its way.

    Args:
        target: a function of a test module.
        arguments: its arguments.
        seconds: after so many it is killed; None: never.
        calls: after so many renames and syncs it is killed at the next; None: never.
        until: it is killed as soon as this is true; None: never.
    """
    process = forked.CONTEXT.Process(target=_call, args=(calls, target, *arguments))
    process.start()
    if until is not None:
        while process.is_alive() and not until():
            time.sleep(0.02)
    else:
        process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == 0


def die_at_call(calls: int) -> None:
    """Lets this process make so many renames and syncs, and kills it at the next."""
    left = [calls]
    for name in CALLS:
        setattr(os, name, _dying(getattr(os, name), left))


def _call(calls: int | None, target: Callable[..., None], *arguments: Any) -> None:
    if calls is not None:
        die_at_call(calls)
    target(*arguments)


def _dying(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **keywords: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return call(*arguments, **keywords)

    return counted

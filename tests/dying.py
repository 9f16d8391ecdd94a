"""Processes that are killed as `kill -9` does: at the k-th rename or sync, or after a while."""

import os
import signal
from collections.abc import Callable
from typing import Any

CALLS = ("rename", "replace", "fsync")


def die_at_call(calls: int, names: tuple[str, ...] = CALLS) -> None:
    """Lets this process make so many calls of these functions of `os`, and kills it at the next."""
    left = [calls]
    for name in names:
        setattr(os, name, _dying(getattr(os, name), left))


def _dying(call: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **keywords: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return call(*arguments, **keywords)

    return counted

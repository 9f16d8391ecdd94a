"""What the processes of one run tell each other, where JAX's multi-controller runtime joins several.

In: a value of each process. Out: the values of all, in every process. All processes make the same calls in the
same order, from their main threads. In a single process nothing happens, and nothing is sent.
"""

import functools
import pickle
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from jaxneurons import errors

Value = TypeVar("Value")
# Most bytes that are sent at a time: a text has gigabytes.
_PIECE = 1 << 28


def number() -> int:
    """How many processes run together."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this process is the one that writes and says what the run writes and says."""
    return jax.process_index() == 0


def exchange(value: Value) -> list[Value]:
    """The value of every process, by the process's index."""
    if number() == 1:
        return [value]
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = _gather(_as_bytes(len(content))).view(np.int64)[:, 0]
    # A power of two, since a program is compiled for each size.
    padded = np.zeros(1 << int(sizes.max()).bit_length(), np.uint8)
    padded[: len(content)] = content
    contents = zip(_gather(padded), sizes, strict=True)
    return [pickle.loads(row[:size].tobytes()) for row, size in contents]


def from_first(make: Callable[[], Value]) -> Value:
    """What the first process makes, in every process; what it raises of `errors` is raised in all.

    The others only wait for it.
    """
    if number() == 1:
        return make()
    made, raised = None, None
    if is_first():
        try:
            made = make()
        except errors.JaxneuronsError as error:
            raised = error
    made, raised = _broadcast((made, raised))
    if raised is not None:
        raise raised
    return made


@functools.cache
def on_this_machine() -> int:
    """How many of the processes share this machine's memory; the first call is one that all make."""
    name = socket.gethostname()
    return exchange(name).count(name)


def _broadcast(value: Any) -> Any:
    from jax.experimental import multihost_utils

    send = multihost_utils.broadcast_one_to_all
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    size = int(np.asarray(send(_as_bytes(len(content)))).view(np.int64)[0])
    piece = min(1 << size.bit_length(), _PIECE)
    padded = np.zeros(-(-size // piece) * piece, np.uint8)
    if is_first():
        padded[:size] = content
    sent = [np.asarray(send(part)).tobytes() for part in padded.reshape(-1, piece)]
    return pickle.loads(b"".join(sent)[:size])


def _as_bytes(size: int) -> np.ndarray:
    """A size as JAX passes it on unchanged, which would make 32 bits of an integer of 64."""
    return np.array([size], np.int64).view(np.uint8)


def _gather(value: np.ndarray) -> np.ndarray:
    """The array of every process, with an axis of processes in front."""
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value))

"""One command in several processes: joining them, and ending all of them when one ends.

In: what SLURM, Open MPI, Kubernetes or the environment says of the processes. Out: JAX's multi-controller runtime,
in which the devices of all are one mesh. A process that fails or is interrupted tells the others through the
runtime's coordinator, and all exit alike; one that dies takes the others with it, at the latest by the heartbeat.
"""

import logging
import math
import os
import select
import signal
import sys
import threading
import time
from typing import Any, NoReturn

from jaxneurons import errors

# JAX itself reads the first alone.
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# Seconds without a sign of life after which a process counts as dead.
HEARTBEAT = 30
# Seconds between two looks at whether another process ends; those that one which is interrupted has to end in good
# order, which it cannot while it waits for another one; and those that it then waits for the others to know.
_PERIOD = 0.3
_GRACE = 3
_PATIENCE = 10
_KEY = "jaxneurons/end"
# Taken by the thread that ends this process.
_ending = threading.Lock()
_logger = logging.getLogger(__name__)


def start(to_resume: str) -> None:
    """Joins the processes, unless that is done; to be called before JAX looks for devices.

    Args:
        to_resume: the command with which an interrupted run continues.

    Raises:
        UsageError: nothing says which processes there are, or they cannot be joined.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    # JAX takes the signal for itself.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(
            **_from_environment(), heartbeat_timeout_seconds=HEARTBEAT
        )
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise errors.UsageError(
            f"the processes of this run cannot be joined: {reason}. Start them under SLURM, Open MPI or Kubernetes, "
            f"or set {', '.join(VARIABLES)} for each."
        ) from error
    signal.signal(signal.SIGTERM, handler)
    if jax.process_index():
        # The first one speaks for all.
        logging.getLogger(errors.__name__.partition(".")[0]).setLevel(logging.WARNING)
    # A process that dies leaves the others no time to say it.
    _logger.info("if a process is lost, all end. To resume: %s", to_resume)
    signals, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    line = f"interrupted. To resume: {to_resume}"
    threading.Thread(target=_watch, args=(signals, line), daemon=True).start()


def is_started() -> bool:
    """Whether this is one of several processes."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def is_of_others(error: BaseException) -> bool:
    """Whether an error is what JAX raises where another process has died."""
    signs = ("Gloo", "NCCL", "coordination", "heartbeat")
    of_jax = type(error).__module__.partition(".")[0] in ("jax", "jaxlib")
    return is_started() and of_jax and any(sign in str(error) for sign in signs)


def end(code: int, line: str) -> NoReturn:
    """Ends this process, and unless the code is 0 all others with the same code.

    Args:
        code: to exit with.
        line: what the first process says of it, if it is another one.
    """
    import jax

    if not _ending.acquire(blocking=False):
        # The other thread ends this process at this moment.
        threading.Event().wait()
    if code == 0:
        # Waits for the others.
        jax.distributed.shutdown()
        sys.exit(0)
    _end_all(code, line)


def _end_all(code: int, line: str) -> NoReturn:
    import jax

    try:
        said = f"{code} process {jax.process_index()}: {line}"
        _coordinator().key_value_set(_KEY, said, allow_overwrite=True)
    except RuntimeError:
        # The coordinator is what has died; JAX ends the others.
        os._exit(code)
    _leave(code)


def _watch(signals: int, interrupted: str) -> None:
    """Ends this process when another one has, or when the main thread does not see that it is interrupted."""
    import jax

    deadline = math.inf
    while not _ending.locked():
        if select.select([signals], [], [], _PERIOD)[0]:
            received = os.read(signals, 64)
            if {signal.SIGINT, signal.SIGTERM} & set(received):
                deadline = min(deadline, time.monotonic() + _GRACE)
        try:
            said = _coordinator().key_value_try_get(_KEY)
        except RuntimeError as error:
            if "NOT_FOUND" not in str(error):
                # The coordinator has gone, and JAX ends this process.
                return
            if time.monotonic() < deadline or not _ending.acquire(blocking=False):
                continue
            print(interrupted, file=sys.stderr, flush=True)
            _end_all(errors.InterruptedRunError.exit_code, interrupted)
        if _ending.acquire(blocking=False):
            code, _, line = said.partition(" ")
            if jax.process_index() == 0:
                print(line, file=sys.stderr, flush=True)
            _leave(int(code))


def _leave(code: int) -> NoReturn:
    """Ends this process once all know that they end."""
    try:
        _coordinator().wait_at_barrier(_KEY, 1000 * _PATIENCE)
    except RuntimeError:
        # One of them has died.
        pass
    os._exit(code)


def _coordinator() -> Any:
    """JAX's client of the process that the others report to."""
    from jax._src import distributed

    client = distributed.global_state.client
    if client is None:
        raise RuntimeError("this process has left the others")
    return client


def _from_environment() -> dict[str, Any]:
    """Arguments of `jax.distributed.initialize`; what is not set JAX finds out."""
    names = ("coordinator_address", "num_processes", "process_id")
    given = {
        name: value
        for name, variable in zip(names, VARIABLES, strict=True)
        if (value := os.environ.get(variable))
    }
    return {
        name: value if name == names[0] else int(value) for name, value in given.items()
    }

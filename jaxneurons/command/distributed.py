"""One command in several processes: joining them, and ending all of them when one ends.

In: what SLURM, Open MPI, Kubernetes or the environment says of the processes. Out: JAX's multi-controller runtime,
in which the devices of all are one mesh. A process that fails or is interrupted tells the others through the
runtime's coordinator, and all exit alike; one that dies takes the others with it, at the latest by the heartbeat.
"""

import logging
import math
import os
import re
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
# Seconds to wait until all have joined, and those after which that is said. JAX would say nothing, and abort.
JOINING = 300
_SLOW = 3
# Seconds between two looks at whether another process ends; those that one which is interrupted has to end in good
# order, which it cannot while it waits for another one; and those that it then waits for the others to know.
_PERIOD = 0.3
_GRACE = 3
_PATIENCE = 10
_KEY = "jaxneurons/end"
# Taken by the thread that ends this process.
_ending = threading.Lock()
_logger = logging.getLogger(__name__)


def start(command: str) -> None:
    """Joins the processes, unless that is done; to be called before JAX looks for devices.

    Args:
        command: which continues an interrupted run, or begins it anew.

    Raises:
        UsageError: nothing says which processes there are, or they cannot be joined.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    _join(_from_environment())
    if jax.process_index():
        # The first one speaks for all.
        logging.getLogger(errors.__name__.partition(".")[0]).setLevel(logging.WARNING)
    # A process that dies leaves the others no time to say it.
    _logger.info("if a process is lost, all end. Run again with: %s", command)
    signals, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    line = f"interrupted. Run again with: {command}"
    threading.Thread(target=_watch, args=(signals, line), daemon=True).start()


def _join(arguments: dict[str, Any]) -> None:
    """Waits for all processes; meanwhile a signal ends this one at once, since JAX waits in compiled code."""
    import jax

    ending = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in ending}
    joined = threading.Event()
    threading.Thread(target=_limit_wait, args=(joined,), daemon=True).start()
    try:
        jax.distributed.initialize(
            **arguments,
            heartbeat_timeout_seconds=HEARTBEAT,
            initialization_timeout=2 * JOINING,
        )
    except (ValueError, RuntimeError) as error:
        raise errors.UsageError(_reason(error)) from error
    finally:
        joined.set()
        # JAX takes one of them for itself.
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _limit_wait(joined: threading.Event) -> None:
    """Says what this process waits for, and ends it if that never comes."""
    from jax._src import distributed

    state = distributed.global_state
    while not joined.wait(_SLOW):
        # Until then JAX finds out where the others are.
        if state.client is not None:
            break
    else:
        return
    said = f"{state.num_processes} processes at {state.coordinator_address}"
    _logger.info("waiting for %s", said)
    if not joined.wait(JOINING):
        line = (
            f"{said}: not all have joined within {JOINING} s. Start all of them again."
        )
        print(line, file=sys.stderr, flush=True)
        os._exit(errors.InterruptedRunError.exit_code)


def _reason(error: Exception) -> str:
    """What the user is told of an error of `jax.distributed.initialize`."""
    from jax._src import distributed

    said = " ".join(str(error).split()).rstrip(".")
    if said.endswith("be defined"):
        unset = [name for name in VARIABLES if not os.environ.get(name)]
        said = f"there is no launcher, nor {' nor '.join(unset)}"
    elif address := distributed.global_state.coordinator_address:
        said = f"{address}: {said}"
    return (
        f"the processes of this run cannot be joined: {said}. Start them under SLURM, Open MPI or Kubernetes, "
        f"or set {', '.join(VARIABLES)} for each, with a port that is free."
    )


def is_started() -> bool:
    """Whether this is one of several processes."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def is_of_others(error: BaseException) -> bool:
    """Whether an error is what JAX raises where another process has died."""
    signs = ("Gloo", "NCCL", "coordination", "heartbeat")
    of_jax = isinstance(error, RuntimeError | ValueError)
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
    import jax

    try:
        _coordinator().wait_at_barrier(_KEY, 1000 * _PATIENCE)
    except RuntimeError:
        # One of them has died.
        pass
    if jax.process_index() == 0:
        # JAX aborts those that it leaves behind.
        time.sleep(1)
    os._exit(code)


def _coordinator() -> Any:
    """JAX's client of the process that the others report to."""
    from jax._src import distributed

    client = distributed.global_state.client
    if client is None:
        raise RuntimeError("this process has left the others")
    return client


def _from_environment() -> dict[str, Any]:
    """Arguments of `jax.distributed.initialize`; what is not set JAX finds out.

    Raises:
        UsageError: a variable has a value that means nothing.
    """
    address, number, index = (os.environ.get(name, "") for name in VARIABLES)
    host_and_port = re.fullmatch(r"\S+:([0-9]{1,5})", address)
    if address and not (host_and_port and 0 < int(host_and_port[1]) < 2**16):
        _refuse(VARIABLES[0], "host and port of the first process, such as node0:1234")
    if number and not (number.isdecimal() and int(number)):
        _refuse(VARIABLES[1], "the number of processes")
    if index and not (index.isdecimal() and (not number or int(index) < int(number))):
        _refuse(VARIABLES[2], "a number from 0 on, below that of processes")
    given = {"coordinator_address": address or None}
    return given | {
        name: int(value)
        for name, value in (("num_processes", number), ("process_id", index))
        if value
    }


def _refuse(variable: str, meaning: str) -> NoReturn:
    raise errors.UsageError(
        f"{variable} is {os.environ[variable]!r}. Set it to {meaning}."
    )

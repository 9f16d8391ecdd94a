"""Several processes of one run on this machine, as SLURM would start them, each with a device or more of its own.

In: a function of a test module. Out: how each of the processes that called it ended.
"""

import multiprocessing.process
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

import jax

from tests.support import forked

# Seconds until which all have ended; those of the heartbeat are among them.
PATIENCE = 600


def start(
    number: int, target: Callable[..., None], *arguments: Any, devices: int = 1
) -> list[multiprocessing.process.BaseProcess]:
    """Starts processes which call target(*arguments) with `devices` devices each."""
    slurm = {
        "SLURM_JOB_ID": str(secrets.randbelow(2**31)),
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": str(number),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    started = []
    for index in range(number):
        own = {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
        process = forked.CONTEXT.Process(
            target=_call, args=(slurm | own, target, *arguments)
        )
        process.start()
        started.append(process)
    return started


def codes(
    started: list[multiprocessing.process.BaseProcess],
) -> list[int | None]:
    """How each process exited once all have; None of one that never did."""
    for process in started:
        process.join(PATIENCE)
    found = [process.exitcode for process in started]
    for process in started:
        process.kill()
    return found


def _call(
    variables: dict[str, str], target: Callable[..., None], *arguments: Any
) -> None:
    os.environ.update(variables)
    jax.config.update("jax_platforms", "cpu")
    # Compiling would take most of the time; all of a test's processes compile alike.
    jax.config.update("jax_disable_most_optimizations", True)
    # What a command would resume with, and its flags.
    sys.argv = ["study.py"]
    target(*arguments)

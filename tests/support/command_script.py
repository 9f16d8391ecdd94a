"""Does what it is told.

The script that script_test runs: `--needed` names what is to happen in it.
"""

import gc
import logging
import sys
import time

from absl import flags

from jaxneurons import errors
from jaxneurons.command import common_flags, script

_DO = flags.DEFINE_enum("do", None, ["tidy", "sleep", "x"], "What to do.")
_NEEDED = common_flags.required("needed", "THIS", "What must be given.")


@script.command
def main() -> None:
    match _NEEDED.value:
        case "sleep":
            _sleep()
        case "collect":
            gc.callbacks.append(_sleep_once)
            gc.collect()
            _sleep()
        case "log":
            logging.getLogger("jaxneurons.x").info("a line for the log")
            logging.getLogger("somebody.else").info("a line for nobody")
        case "print":
            for number in range(100_000):
                print(number)
        case "foreign letters":
            print("é中\udcff")
        case "open":
            with open(__file__) as file:
                print(file.fileno() > 2)
            raise errors.StoreError("opened")
        case "raise":
            raise {
                "RuntimeError": RuntimeError("our fault"),
                "MemoryError": MemoryError("Unable to allocate 9 TiB"),
                "PermissionError": PermissionError(13, "Permission denied", "/x"),
                "OSError": OSError("a library's own"),
                "two lines": errors.StoreError("one\ntwo"),
            }[sys.stdin.readline().strip()]
        case name:
            raise getattr(errors, name)("what was given, wanted and where")


def _sleep() -> None:
    try:
        print("ready", flush=True)
        # In short pieces: a signal just before one long sleep would be seen after it.
        for _ in range(300):
            time.sleep(0.1)
    finally:
        print("tidied", flush=True)
        if _DO.value == "sleep":
            time.sleep(30)


def _sleep_once(*_: object) -> None:
    gc.callbacks.remove(_sleep_once)
    _sleep()


if __name__ == "__main__":
    main()

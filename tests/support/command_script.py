"""Does what it is told.

The script that command_test runs: `--do` names what is to happen in it.
"""

import logging
import sys
import time

from absl import flags

from jaxneurons import errors
from jaxneurons.command import script

_DO = flags.DEFINE_enum("do", None, ["tidy", "sleep", "x"], "What to do.")
_NEEDED = flags.DEFINE_string("needed", None, "What must be given.", required=True)


def main() -> None:
    if _NEEDED.value == "sleep":
        _sleep()
    elif _NEEDED.value == "log":
        logging.getLogger("jaxneurons.x").info("a line for the log")
        logging.getLogger("somebody.else").info("a line for nobody")
    elif _NEEDED.value == "print":
        for number in range(100_000):
            print(number)
    elif _NEEDED.value == "foreign letters":
        print("é中\udcff")
    elif _NEEDED.value == "open":
        with open(__file__) as file:
            print(file.fileno() > 2)
        raise errors.StoreError("opened")
    elif _NEEDED.value == "raise":
        raise {
            "RuntimeError": RuntimeError("our fault"),
            "MemoryError": MemoryError("Unable to allocate 9 TiB"),
            "PermissionError": PermissionError(13, "Permission denied", "/x"),
            "OSError": OSError("a library's own"),
            "two lines": errors.StoreError("one\ntwo"),
        }[sys.stdin.readline().strip()]
    else:
        raise getattr(errors, _NEEDED.value)("what was given, wanted and where")


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


if __name__ == "__main__":
    script.run(main)

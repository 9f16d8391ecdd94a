"""What every script shares: flags in, exit code and one line for an expected error out."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from absl import flags, logging

from jaxneurons import errors


def run(main: Callable[[], None]) -> None:
    """Parses the flags of the running script, calls `main`, and exits.

    Exit codes: 0 done, 2 usage, 65 bad data, 73 output exists, 74 input/output error, 75 interrupted.
    An expected error is one line on standard error. The first Ctrl-C or SIGTERM stops in good order,
    the second at once.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    logging.set_verbosity(logging.INFO)
    sys.exit(_exit_code(main))


def _exit_code(main: Callable[[], None]) -> int:
    try:
        if any(argument.lstrip("-") in ("help", "h") for argument in sys.argv[1:]):
            print(_help())
            return 0
        _parse_flags(sys.argv)
        main()
        sys.stdout.flush()
    except errors.JaxneuronsError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        message = (
            "interrupted; nothing half-written was left, run the same command again"
        )
        return _fail(message, errors.InterruptedRunError.exit_code)
    except BrokenPipeError:
        # Nobody reads standard output any more; say so once and keep Python's exit quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("standard output was closed", errors.InputOutputError.exit_code)
    return 0


def _parse_flags(arguments: list[str]) -> None:
    try:
        rest = flags.FLAGS(arguments)[1:]
    except flags.Error as error:
        raise errors.UsageError(" ".join(str(error).split())) from error
    if rest:
        raise errors.UsageError(f"unexpected arguments {rest}; flags are --name=value")


def _help() -> str:
    return f"{sys.modules['__main__'].__doc__}\n{flags.FLAGS.main_module_help()}"


def _fail(message: str, code: int) -> int:
    try:
        print(
            f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True
        )
    except OSError:
        # Standard error is closed too; the exit code says what there is to say.
        pass
    return code


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(signal_number, lambda number, _: os._exit(128 + number))
    raise KeyboardInterrupt

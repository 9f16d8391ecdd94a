"""What every script shares: flags in, exit code and one line for an expected error out.

A script imports this before anything that takes long: from then on Ctrl-C is one line, even while
the rest is imported.
"""

import io
import itertools
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from absl import flags

from jaxneurons import errors
from jaxneurons.command import allocator

_INTERRUPTED = "interrupted; nothing half-written was left, run the same command again"


def run(main: Callable[[], None]) -> None:
    """Parses the flags of the running script, calls `main`, and exits; freed memory is kept for reuse (`allocator`).

    Exit codes: 0 done, 2 usage, 65 bad data, 73 output exists, 74 input/output error, 75 interrupted;
    1 is a fault of ours, with its traceback, or no memory left. An expected error is one line on
    standard error. The first Ctrl-C or SIGTERM stops in good order, the second at once.
    """
    _handle_signals(_interrupt)
    allocator.keep_freed_memory()
    # By force: a package that configures logging when it is imported would come first.
    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger(errors.__name__.partition(".")[0]).setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail after hours.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _exit_code(main)
    _drop_unwritable_output()
    sys.exit(code)


def _exit_code(main: Callable[[], None]) -> int:
    try:
        if help_text := _help(sys.argv):
            print(help_text)
        else:
            _parse_flags(sys.argv)
            main()
        _write_output()
    except errors.InterruptedRunError as error:
        return _fail(f"{error}: {_command_to_resume()}", error.exit_code)
    except errors.JaxneuronsError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(_INTERRUPTED, errors.InterruptedRunError.exit_code)
    except BrokenPipeError:
        return _fail("standard output was closed", errors.InputOutputError.exit_code)
    except MemoryError as error:
        return _fail(f"out of memory: {error}".rstrip(": "), 1)
    except OSError as error:
        if error.errno is None:
            # Libraries raise these for what the operating system had no part in.
            raise
        return _fail(str(error), errors.InputOutputError.exit_code)
    return 0


def _write_output() -> None:
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.InputOutputError(
            f"cannot write standard output: {error.strerror}"
        ) from error


def _help(arguments: list[str]) -> str | None:
    """What to print if help is asked for: absl's own flags for it would exit with 1."""
    before_rest = itertools.takewhile(lambda argument: argument != "--", arguments[1:])
    names = {
        argument.lstrip("-") for argument in before_rest if argument.startswith("-")
    }
    if not names & {"help", "helpfull", "helpshort", "h"}:
        return None
    listing = (
        flags.FLAGS.get_help()
        if "helpfull" in names
        else flags.FLAGS.main_module_help()
    )
    return f"{sys.modules['__main__'].__doc__}\n{listing}"


def _command_to_resume() -> str:
    command = shlex.join(["python", *sys.argv])
    begun = "resume" in flags.FLAGS and not flags.FLAGS.resume
    return f"{command} --resume" if begun else command


def _parse_flags(arguments: list[str]) -> None:
    try:
        rest = flags.FLAGS(arguments)[1:]
    except (flags.Error, UnicodeDecodeError) as error:
        raise errors.UsageError(" ".join(str(error).split())) from error
    if rest:
        raise errors.UsageError(f"unexpected arguments {rest}; flags are --name=value")


def _fail(message: str, code: int) -> int:
    line = " ".join([f"{os.path.basename(sys.argv[0])}:", *message.splitlines()])
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # Standard error takes nothing; the exit code says what there is to say.
        pass
    return code


def _drop_unwritable_output() -> None:
    """Forgets what a closed pipe or a full disk did not take: on exit Python would try again, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fill_closed_streams() -> None:
    """Puts the null device where a standard stream is closed.

    The next file to be opened would get its number, and with it what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The system gives the lowest number that is free: the stream's own. Open until the end.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    # The system's own handling ends even a process that is deep in compiled code.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _leave(signal_number: int, frame: FrameType | None) -> None:
    """Ends a script that has only been importing: an exception would come out of the import as any other."""
    del signal_number, frame
    os._exit(_fail(_INTERRUPTED, errors.InterruptedRunError.exit_code))


_fill_closed_streams()
if threading.current_thread() is threading.main_thread():
    _handle_signals(_leave)

"""What every command shares: flags in; an exit code, and one line for an expected error, out.

Nothing happens when this is imported: `run` installs what a command needs.
"""

import functools
import io
import itertools
import logging
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from absl import flags

from jaxneurons import errors
from jaxneurons.command import allocator, distributed, progress
from jaxneurons.disk import requests

_INTERRUPTED = (
    "interrupted. Nothing incomplete was left behind: run the same command again."
)
_HELP_FLAGS = {"help", "helpfull", "helpshort", "h"}


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Makes a command of a function that reads its module's flags."""
    return functools.partial(run, main)


def run(main: Callable[[], None]) -> None:
    """Parses the flags of `main`'s module, calls it, and exits.

    Exit codes: 0 done, 2 usage, 65 bad data, 73 output exists, 74 input/output error, 75 interrupted;
    1 is a fault of ours, with its traceback, or no memory left. An expected error is one line on
    standard error. The first Ctrl-C or SIGTERM stops in good order, the second at once. Of several processes all exit
    with the code of the first that does not exit with 0.
    """
    _fill_closed_streams()
    _handle_signals(_interrupt)
    sys.unraisablehook = _raise_again
    allocator.keep_freed_memory()
    # No command opens a window; a wrong value here would stop the import of Matplotlib, or of tqdm.
    for name in list(os.environ):
        if name == "MPLBACKEND" or name.startswith("TQDM_"):
            del os.environ[name]
    logging.basicConfig(format="%(message)s", handlers=[progress.LogHandler()])
    logging.getLogger(errors.__name__.partition(".")[0]).setLevel(logging.INFO)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail after hours.
        sys.stdout.reconfigure(errors="backslashreplace")
    code, line = _outcome(main)
    _drop_unwritable_output()
    if distributed.is_started():
        distributed.end(code, line)
    sys.exit(code)


def _outcome(main: Callable[[], None]) -> tuple[int, str]:
    """The exit code, and what was said of it."""
    try:
        if _HELP_FLAGS & (given := _flag_names(sys.argv)):
            print(_help(main, everything="helpfull" in given))
        else:
            _parse_flags(sys.argv)
            _check_working_directory()
            _set_remote_seconds()
            main()
        _write_output()
    except (Exception, KeyboardInterrupt) as error:
        expected = _expected(error)
        if expected is None:
            if not distributed.is_started():
                raise
            traceback.print_exc()
            return 1, f"{type(error).__name__}"
        return _fail(*expected), expected[0]
    return 0, ""


def _expected(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit code for an error; None for a fault of ours."""
    match error:
        case errors.InterruptedRunError():
            return f"{error}. To resume: {command_to_resume()}", error.exit_code
        case Exception() if distributed.is_of_others(error):
            line = f"another process of the run has ended. Run again with: {command_to_resume()}"
            return line, errors.InterruptedRunError.exit_code
        case errors.JaxneuronsError():
            return _with_advice(error), error.exit_code
        case BrokenPipeError():
            return "standard output was closed", errors.InputOutputError.exit_code
        case MemoryError():
            return f"out of memory: {error}".rstrip(": "), 1
        case ValueError() if (package := _importing(error)) is not None:
            reason = " ".join(str(error).split()).rstrip(".")
            line = f"{package} cannot be imported: {reason}. Change or unset its environment variable."
            return line, errors.UsageError.exit_code
        # Libraries raise it without a number for what the operating system had no part in.
        case OSError(errno=int()):
            place = "" if error.filename is None else f"{error.filename}: "
            line = f"{place}{error.strerror or error}"
            return line, errors.InputOutputError.exit_code
    # Compiled code may pass a KeyboardInterrupt on as an error of its own.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        return _INTERRUPTED, errors.InterruptedRunError.exit_code
    return None


def _importing(error: ValueError) -> str | None:
    """The library whose import raised an error, as that of a variable that it cannot read; None for a fault of ours."""
    frames = [
        (str(frame.f_globals.get("__name__")).partition(".")[0], frame.f_code.co_name)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    package = frames[-1][0]
    own = package in ("__main__", "convert", "jaxneurons", "scripts")
    return None if own or (package, "<module>") not in frames else package


def _with_advice(error: errors.JaxneuronsError) -> str:
    """The message, and the flags of the running script that make it go on all the same."""
    given = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in error.remedy.items()
        if name in flags.FLAGS
    ]
    return f"{error} To continue, add {' '.join(given)}." if given else str(error)


def _write_output() -> None:
    try:
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.InputOutputError(
            f"cannot write standard output: {error.strerror}"
        ) from error


def _flag_names(arguments: list[str]) -> set[str]:
    before_rest = itertools.takewhile(lambda argument: argument != "--", arguments[1:])
    return {
        argument.lstrip("-") for argument in before_rest if argument.startswith("-")
    }


def _help(main: Callable[[], None], everything: bool) -> str:
    """The module's docstring and flags; absl's own flags for help would exit with 1."""
    module = sys.modules[main.__module__]
    # Examples in docstrings are those of a checkout.
    checkout = f"python scripts/{module.__name__.rpartition('.')[2]}.py"
    # There are no docstrings under `python -OO`.
    text = (module.__doc__ or "").replace(checkout, " ".join(_command_line()))
    if everything:
        return f"{text}\n{flags.FLAGS.get_help()}"
    # Without the name of the module, which stands above its flags.
    listing = flags.FLAGS.module_help(module).partition(":\n")[2]
    return f"{text}\nFlags:\n{listing}"


def _command_line() -> list[str]:
    """How this command was started, without its arguments."""
    path = sys.argv[0]
    return ["python", path] if path.endswith(".py") else [os.path.basename(path)]


def command_to_resume() -> str:
    """The running command, with --resume where it has that flag."""
    resume = "resume" in flags.FLAGS and not flags.FLAGS.resume
    arguments = [*sys.argv[1:], *["--resume"] * resume]
    return shlex.join([*_command_line(), *arguments])


def _parse_flags(arguments: list[str]) -> None:
    try:
        # Shells leave a "~" alone that stands behind a "=".
        home = os.path.expanduser("~")
        expanded = [re.sub(r"(?<==)~(?=/|$)", lambda _: home, a) for a in arguments]
        rest = flags.FLAGS(expanded)[1:]
    except (flags.Error, UnicodeDecodeError) as error:
        # A line for each problem; what is said of a missing flag names it by itself.
        lines = re.sub(
            r"^flag --\w+=(None)?: (?=--)", "", str(error), flags=re.MULTILINE
        )
        raise errors.UsageError("; ".join(lines.splitlines())) from error
    if rest:
        raise errors.UsageError(
            f"unexpected arguments {rest}. Flags are given as --name=value."
        )


def _set_remote_seconds() -> None:
    """What `common_flags.remote_seconds` says, for the library and for processes that the command starts."""
    if "remote_seconds" in flags.FLAGS and flags.FLAGS.remote_seconds is not None:
        os.environ[requests.VARIABLE] = str(flags.FLAGS.remote_seconds)


def _check_working_directory() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise errors.InputOutputError(
            f"the working directory cannot be used: {error.strerror}. Change to another."
        ) from error


def _fail(message: str, code: int) -> int:
    line = " ".join([f"{os.path.basename(sys.argv[0])}:", *message.splitlines()])
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # Standard error takes nothing; the exit code remains.
        pass
    return code


def _drop_unwritable_output() -> None:
    """Forgets what a closed pipe or a full disk refused: on exit Python would try again and change the exit code."""
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
            # The system gives the lowest free number: the stream's own. Open until the end.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _handle_signals(handler: Callable[[int, FrameType | None], None] | int) -> None:
    # The alarm is that of `_raise_again`.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, handler)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    del signal_number
    if _is_import(frame):
        # An import may pass an exception on as another one, or end the process in compiled code.
        os._exit(_fail(_INTERRUPTED, errors.InterruptedRunError.exit_code))
    # The system's own handling ends even a process that is deep in compiled code.
    _handle_signals(signal.SIG_DFL)
    raise KeyboardInterrupt


def _is_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _raise_again(lost: "sys.UnraisableHookArgs") -> None:
    """Interrupts once more where a callback, such as JAX's on garbage collection, lost the KeyboardInterrupt."""
    if lost.exc_type is KeyboardInterrupt:
        _handle_signals(_interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    else:
        sys.__unraisablehook__(lost)

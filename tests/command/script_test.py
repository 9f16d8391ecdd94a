"""What every script does with flags, errors and signals: the exit code and the one line."""

import errno
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from jaxneurons import errors
from tests.support import cases
from tests.support.helpers import REPOSITORY

SCRIPT = pathlib.Path(__file__).parents[1] / "support" / "command_script.py"
NAME = SCRIPT.name
SCRIPTS = REPOSITORY / "scripts"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
NO_SPACE = os.strerror(errno.ENOSPC)
CODES = {
    "UsageError": 2,
    "BadDataError": 65,
    "ConfigError": 65,
    "CheckpointError": 65,
    "CorpusError": 65,
    "TokenizerError": 65,
    "StoreError": 65,
    "StudyError": 65,
    "FormatVersionError": 65,
    "MismatchError": 65,
    "NotFiniteError": 65,
    "TrainingError": 65,
    "DivergenceError": 65,
    "OutputExistsError": 73,
    "InputOutputError": 74,
    "InterruptedRunError": 75,
}


def test_every_type_of_error_has_its_code():
    base = errors.JaxneuronsError
    types = [t for t in vars(errors).values() if isinstance(t, type)]
    codes = {t.__name__: t.exit_code for t in types if base in t.__mro__[1:]}
    assert codes == CODES


@cases.each("name", ["UsageError", "StoreError"])
def test_an_expected_error_is_its_code_and_one_line(name):
    done = run(f"--needed={name}")
    assert done.returncode == CODES[name]
    assert done.stderr == f"{NAME}: what was given, wanted and where\n"
    assert done.stdout == ""


@pytest.mark.fault(case=27)
def test_an_interrupted_run_says_how_to_resume():
    done = run("--needed=InterruptedRunError")
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    command = f"To resume: python {SCRIPT} --needed=InterruptedRunError\n"
    assert done.stderr.endswith(command)


def test_an_error_of_two_lines_is_one_line():
    done = run("--needed=raise", stdin="two lines\n")
    assert (done.returncode, done.stderr) == (65, f"{NAME}: one two\n")


@cases.each(
    "arguments, words",
    [
        (["--needed=print", "stray"], ["unexpected arguments ['stray']"]),
        (["--needed=print", "--nonsense=1"], ["nonsense"]),
        (["--needed=print", "--do=nonsense"], ["--do=nonsense", "<tidy|sleep|x>"]),
        ([], ["--needed=THIS is required"]),
        (["--needed="], ["--needed=THIS is required"]),
        ([f"--flagfile={sys.executable}"], ["can't decode byte"]),
    ],
)
def test_wrong_usage_is_2_and_one_line(arguments, words):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"{NAME}: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)


@cases.each("flag", ["--help", "-h", "--helpfull"])
def test_help_prints_docstring_and_flags(flag):
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Does what it is told.\n")
    assert "--do: <tidy|sleep|x>: What to do." in done.stdout
    assert "What must be given." in done.stdout
    assert ("--flagfile" in done.stdout) == (flag == "--helpfull")


def test_a_value_that_reads_help_is_a_value():
    done = run("--needed", "help")
    assert done.returncode == 1 and "AttributeError" in done.stderr


def test_a_fault_of_ours_keeps_its_traceback():
    done = run("--needed=raise", stdin="RuntimeError\n")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "our fault" in done.stderr


@cases.each(
    "error, code, line",
    [
        ("PermissionError", 74, "/x: Permission denied"),
        ("MemoryError", 1, "out of memory: Unable to allocate 9 TiB"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, code, line):
    done = run("--needed=raise", stdin=f"{error}\n")
    assert (done.returncode, done.stderr) == (code, f"{NAME}: {line}\n")


def test_an_oserror_that_is_not_the_systems_keeps_its_traceback():
    done = run("--needed=raise", stdin="OSError\n")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")


def test_the_log_is_ours_and_bare():
    done = run("--needed=log")
    assert (done.returncode, done.stderr) == (0, "a line for the log\n")


@pytest.mark.fault(case=27)
@cases.each("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_75_in_good_order_within_seconds(number):
    process = start("--needed=sleep")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (75, "tidied\n")
    assert err.startswith(f"{NAME}: interrupted") and err.count("\n") == 1


@pytest.mark.fault(case=27)
def test_a_signal_that_a_callback_loses_comes_again():
    process = start("--needed=collect")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (75, 1)


@pytest.mark.fault(case=27)
@cases.each("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_script_imports_is_75_and_one_line(tmp_path, number):
    # Stands for whatever takes long to import.
    (tmp_path / "jax.py").write_text(
        "import time\nprint('ready', flush=True)\nfor _ in range(300): time.sleep(0.1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, SCRIPTS / "study.py", f"--study={tmp_path / 'study'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (75, "")
    assert err.splitlines()[-1].startswith("study.py: interrupted")
    assert "Traceback" not in err


@pytest.mark.fault(case=27)
@cases.each(
    "first, second",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)],
)
def test_a_second_signal_ends_at_once(first, second):
    process = start("--needed=sleep", "--do=sleep")
    process.stdout.readline()
    process.send_signal(first)
    assert process.stdout.readline() == "tidied\n"
    process.send_signal(second)
    process.communicate(timeout=60)
    assert process.returncode == -second


@pytest.mark.fault(case=27)
def test_a_closed_pipe_is_74_and_one_line():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as pipe:
        process = start("--needed=print", stdout=pipe)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (74, f"{NAME}: standard output was closed\n")


@pytest.mark.fault(case=27)
@cases.each(
    "closed, needed, code",
    [(">&-", "print", 0), ("2>&-", "StoreError", 65), (">&- 2>&-", "UsageError", 2)],
)
def test_closed_streams_change_no_code(closed, needed, code):
    done = in_shell(f"--needed={needed}", closed)
    assert (done.returncode, done.stderr) == (code, "")
    # What has no place on standard error does not go to standard output instead.
    assert "what was given" not in done.stdout


@pytest.mark.fault(case=27)
def test_a_file_never_gets_the_number_of_a_closed_stream():
    done = in_shell("--needed=open", "<&- 2>&-")
    assert (done.returncode, done.stdout) == (65, "True\n")


@pytest.mark.fault(case=29)
def test_what_the_terminal_cannot_show_is_escaped():
    done = run("--needed=foreign letters", environment={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "\\xe9\\u4e2d\\udcff\n"


@pytest.mark.fault(case=13)
@cases.each(
    "argument, redirection, code, said",
    [
        (
            "--help",
            ">/dev/full",
            74,
            f"{NAME}: cannot write standard output: {NO_SPACE}\n",
        ),
        ("--needed=log", "2>/dev/full", 0, ""),
        ("--needed=StoreError", "2>/dev/full", 65, ""),
    ],
)
def test_a_full_disk_under_a_stream_is_no_traceback(argument, redirection, code, said):
    done = in_shell(argument, redirection)
    assert (done.returncode, done.stderr) == (code, said)


def in_shell(argument, redirections):
    """Runs the script to its end with streams redirected, and buffered as Python has them by default."""
    line = f'exec "$0" "$1" "$2" {redirections}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, str(SCRIPT), argument],
        capture_output=True,
        check=False,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": ""},
        text=True,
        timeout=60,
    )


def run(*arguments, stdin="", environment=None):
    """Runs the script to its end."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        check=False,
        env=ENVIRONMENT | (environment or {}),
        text=True,
        timeout=60,
    )


def start(*arguments, stdout=subprocess.PIPE):
    """Starts the script."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )

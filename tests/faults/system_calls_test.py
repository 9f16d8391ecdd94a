"""The real commands under strace, killed or refused by the system at their k-th call: they can be run again.

strace meets the calls of every thread, those that tensorstore makes in C++ among them.
"""

import collections
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from convert import export
from jaxneurons import errors
from jaxneurons.store import random_model, reading
from tests.support import cases, helpers, stores, studies, tiny_tokenizers

MODEL = tiny_tokenizers.tiny_config(num_hidden_layers=2)
# A process per system call.
pytestmark = pytest.mark.campaign
# What befalls a call: `pwritev2`, `writev` and `pwrite64` write chunks, and no stream.
FAULTS = [
    ("rename,renameat,renameat2", "signal=SIGKILL"),
    ("fsync,fdatasync", "signal=SIGKILL"),
    ("fsync,fdatasync", "error=EIO"),
    ("writev,pwritev,pwritev2,pwrite64", "error=ENOSPC"),
    ("mkdir,rename,renameat,renameat2", "error=ENOSPC"),
]
FINISHED = errors.OutputExistsError.exit_code
REFUSED = errors.InputOutputError.exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, a text, and in `whole` what undisturbed commands make of them."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    folder = tmp_path_factory.mktemp("calls").resolve()
    random = random_model.write(folder / "random", MODEL)
    export.write_huggingface(reading.open_store(random), folder / "model")
    tiny_tokenizers.save_tokenizer(folder / "model")
    lines = [{"text": text} for text in ("some words", "words, some", "others") * 5]
    tiny_tokenizers.write_lines(folder / "text.jsonl", lines)
    for command in (convert, study):
        done = run(command(folder, folder / "whole"))
        assert done.returncode == 0, done.stderr
    return folder


def convert(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    work.mkdir(exist_ok=True)
    flags = [f"--hf={folder / 'model'}", f"--store={work / 'store'}"]
    return [sys.executable, "scripts/convert_opt.py", *flags]


def study(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    work.mkdir(exist_ok=True)
    return [
        sys.executable,
        "scripts/study.py",
        f"--model={folder / 'whole' / 'store'}",
        f"--corpus=text={folder / 'text.jsonl'}",
        f"--study={work / 'study'}",
        f"--cache={work / 'cache'}",
        "--compilation_cache=none",
        "--window=8",
        "--windows_per_batch=4",
        "--resume",
    ]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(helpers.REPOSITORY), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command,
        cwd=helpers.REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.fault(case=13)
@pytest.mark.fault(case=15)
@pytest.mark.fault(case=24)
@cases.each("command, made", [(convert, "store"), (study, "study")])
@cases.each("calls, what", FAULTS)
def test_what_a_fault_leaves_is_whole_or_resumed(
    folder, tmp_path, calls, what, command, made
):
    ends: collections.Counter[int] = collections.Counter()
    for number in range(1, 1000, 7):
        work = tmp_path / str(number)
        inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}:when={number}"]
        strace = ["strace", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", *inject]
        done = run(strace + command(folder, work))
        if "ptrace" in done.stderr:
            pytest.skip("strace may not trace here")
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, REFUSED, -9, 137), done.stderr
        ends[done.returncode] += 1
        if done.returncode == 0:
            break
        again = run(command(folder, work))
        assert again.returncode in (0, FINISHED), again.stderr
        _assert_same(work / made, folder / "whole" / made)
        shutil.rmtree(work)
    print(f"{made}, {calls} {what}: {ends.total()} tries, {dict(ends)}, none lost")


def _assert_same(path: pathlib.Path, whole: pathlib.Path) -> None:
    (stores if path.name == "store" else studies).assert_same(path, whole)

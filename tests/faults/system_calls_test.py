"""The real commands, killed or refused by the system at their k-th call: what stands is whole, and the same command goes on.

Every rename, sync and write of every thread is met, those that tensorstore makes in C++ among them.
"""

import collections
import errno
import os
import pathlib
import re
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from matplotlib import figure

from convert import export
from jaxneurons import errors
from jaxneurons.figures import paper
from jaxneurons.store import random_model, reading
from tests.support import helpers, stores, studies, system_calls, tiny_tokenizers

MODEL = tiny_tokenizers.tiny_config(num_hidden_layers=2)
FAULTS = {
    "killed": system_calls.Fault(system_calls.RENAMES | system_calls.SYNCS),
    "full": system_calls.Fault(system_calls.GROWTHS, error=errno.ENOSPC),
    "broken": system_calls.Fault(system_calls.SYNCS, error=errno.EIO),
}
FINISHED = errors.OutputExistsError.exit_code
NONE = system_calls.Fault(system_calls.GROWTHS | system_calls.SYNCS)


class Undisturbed(NamedTuple):
    """A folder with a model, a text and in `whole` what the commands make of them, and the calls that each makes."""

    folder: pathlib.Path
    convert: Mapping[str, int]
    study: Mapping[str, int]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls").resolve()
    random = random_model.write(folder / "random", MODEL)
    export.write_huggingface(reading.open_store(random), folder / "model")
    tiny_tokenizers.save_tokenizer(folder / "model")
    lines = [{"text": text} for text in ("some words", "words, some", "others") * 5]
    tiny_tokenizers.write_lines(folder / "text.jsonl", lines)
    done = [run(folder, folder / "whole", NONE) for run in (_convert, _study)]
    assert [outcome.code for outcome in done] == [0, 0]
    assert not [name for name in _names(folder / "whole") if "lock" in name]
    return Undisturbed(folder, *(outcome.counts for outcome in done))


@pytest.mark.slow
@pytest.mark.fault(case=13)
@pytest.mark.fault(case=15)
@pytest.mark.parametrize("name", FAULTS)
def test_a_conversion_leaves_a_store_or_nothing(undisturbed, tmp_path, campaign, name):
    folder, work = undisturbed.folder, tmp_path / "work"
    ends = collections.Counter()
    for fault in _faults(name, undisturbed.convert, campaign, tries=2):
        end = _end(_convert(folder, work, fault), fault, work)
        ends[end + (", whole" if (work / "store").exists() else "")] += 1
        if not _is_as_before(work, "store", folder, fault):
            assert _convert(folder, work, NONE).code in (0, FINISHED)
            stores.assert_same(work / "store", folder / "whole" / "store")
            assert sorted(os.listdir(work)) == ["store", "temporary"]
        shutil.rmtree(work)
    print(f"cases 13, 15: conversions {name} at {ends.total()} calls: {dict(ends)}")


@pytest.mark.slow
@pytest.mark.fault(case=13)
@pytest.mark.fault(case=23)
@pytest.mark.fault(case=24)
@pytest.mark.parametrize("name", FAULTS)
def test_a_study_goes_on(undisturbed, tmp_path, campaign, name):
    folder, work = undisturbed.folder, tmp_path / "work"
    ends = collections.Counter()
    for fault in _faults(name, undisturbed.study, campaign, tries=1):
        ends[_end(_study(folder, work, fault), fault, work)] += 1
        if not _is_as_before(work, "study", folder, fault):
            if (work / "study").exists():
                # Once more on its way, which is shorter now.
                sooner = fault._replace(after=fault.after // 8)
                _end(_study(folder, work, sooner), sooner, work)
            assert _study(folder, work, NONE).code in (0, FINISHED)
            studies.assert_same(work / "study", folder / "whole" / "study")
            assert _names(work / "cache") == _names(folder / "whole" / "cache")
        shutil.rmtree(work)
    print(f"cases 13, 24: studies {name} at {ends.total()} calls: {dict(ends)}")


def _faults(name, counts, campaign, tries):
    """A fault at every call that an undisturbed command makes, or at a few of every day; every other one lasts."""
    fault = FAULTS[name]
    calls = sum(counts[call] for call in fault.names)
    assert calls > 100
    step = 1 if campaign else calls // tries
    for after in range(step // 2, calls, step):
        yield fault._replace(after=after, lasts=after % 2 == 1)


def _is_as_before(work, target, folder, fault):
    """Whether a command that met an error left nothing to go on with; the next try is then the same command again."""
    if fault.error is None or (work / target).exists():
        return False
    assert _names(work) <= _names(folder / "whole")
    return True


def _end(outcome, fault, work):
    """How a command ended that met a fault; fails if that is no way to end."""
    said = _said(work).read_text()
    assert "Traceback" not in said and "Error" not in said, (fault, outcome, said)
    if outcome.code == errors.InputOutputError.exit_code and fault.error:
        line = rf"\w+\.py: cannot \w+ {re.escape(str(work))}/\S*: {_reason(fault)}"
        assert re.fullmatch(line, said.splitlines()[-1]), (fault, outcome, said)
        return "refused"
    if outcome.code == FINISHED:
        return "finished before"
    if outcome.code == 0:
        # Without a cache of tokens a study is as well.
        assert outcome.struck is None or str(work / "cache") in outcome.struck
        return "went on"
    assert outcome.code == -signal.SIGKILL and fault.error is None, (outcome, said)
    return "killed"


def _reason(fault):
    """What the system says, as a pattern."""
    free = r" \((\d+ bytes needed, )?\d+ free\)"
    return os.strerror(fault.error) + (free if fault.error == errno.ENOSPC else "")


def _convert(folder, work, fault):
    source, target = folder / "model", work / "store"
    return _run(work, fault, "convert_opt", f"--hf={source}", f"--store={target}")


def _study(folder, work, fault):
    return _run(
        work,
        fault,
        "study",
        f"--model={folder / 'whole' / 'store'}",
        f"--corpus=text={folder / 'text.jsonl'}",
        f"--study={work / 'study'}",
        f"--cache={work / 'cache'}",
        f"--compilation_cache={folder / 'compiled'}",
        "--window=8",
        "--windows_per_batch=4",
        "--resume",
    )


def _run(work, fault, script, *arguments):
    (work / "temporary").mkdir(parents=True, exist_ok=True)
    return system_calls.run(fault, work, _script, work, script, arguments)


def _script(work, script, arguments):
    said = os.open(_said(work), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    tempfile.tempdir = str(work / "temporary")
    # What takes most of the time here is not what is tested.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    paper.draw = lambda *arguments: {"figure": figure.Figure((1, 1))}
    path = helpers.REPOSITORY / "scripts" / f"{script}.py"
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def _said(work):
    """What a command prints."""
    return work.with_name(f"{work.name}.said")


def _names(path):
    return {str(file.relative_to(path)) for file in path.rglob("*")}

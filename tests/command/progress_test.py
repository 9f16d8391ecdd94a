"""What a long call says: bars for who watches, lines for the log."""

import logging

import pytest

from jaxneurons import errors
from jaxneurons.command.progress import LogHandler, Progress


def test_each_phase_has_a_bar_that_says_what_is_done(capsys):
    with Progress(shown=True) as progress:
        progress.start(40_000, "tokens x layers", "tokens")
        progress.advance(10_000)
        progress.describe("layer 3 of 12")
        progress.start(2, "figures", "figures")
        progress.advance()
    shown = capsys.readouterr().err
    assert "tokens x layers:  25%" in shown and "10.0k/40.0k" in shown
    assert "layer 3 of 12" in shown
    assert "figures:  50%" in shown and "1/2" in shown


def test_without_a_terminal_there_is_no_bar(capsys):
    with Progress() as progress:
        progress.start(4, "layers", "layers")
        progress.advance(2)
        progress.describe("layer 2")
    assert capsys.readouterr().err == ""


def test_a_callback_of_done_and_total_is_a_phase(capsys):
    with Progress(shown=True) as progress:
        count = progress.counter("converting", "arrays")
        for done in range(1, 5):
            count(done, 4)
    assert "converting: 100%" in capsys.readouterr().err


def test_a_log_has_the_lines_from_before_it_was_named(tmp_path):
    progress = Progress()
    progress.log_line("first")
    progress.keep_log(tmp_path / "log")
    progress.log_line("second é")
    lines = (tmp_path / "log").read_text("utf-8").splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["first", "second é"]


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(errors.InputOutputError, match=f"cannot write {tmp_path}"):
        Progress().keep_log(tmp_path)


def test_lines_stand_above_the_bar(capsys):
    logger = logging.getLogger("shown above a bar")
    logger.addHandler(LogHandler())
    with Progress(shown=True) as progress:
        progress.start(4, "layers", "layers")
        logger.warning("layer %d", 0)
    # The bar is wiped before the line and drawn again below it.
    before, after = capsys.readouterr().err.split("layer 0\n")
    assert before.endswith("\r") and "layers:" in after


def test_each_stage_has_its_seconds(monkeypatch):
    clock = iter([0.0, 2.0, 5.0, 6.0, 10.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = Progress()
    for name in ("model", "layers", "model"):
        progress.stage(name)
    assert progress.seconds == {"start": 2, "model": 3 + 4, "layers": 1}

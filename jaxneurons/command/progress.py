"""How far a run is: a bar on a terminal, and a line per layer or step in a log."""

import logging
import pathlib
import sys
import time
from typing import Self

import tqdm

from jaxneurons.disk import files

_logger = logging.getLogger(__name__)


class Progress:
    """Counts tokens::

        with Progress(log, "tokens x layers") as progress:
            progress.start(total)
            progress.advance(4096)
            progress.log_line("layer 0 ...")

    The bar, with tokens/s and the time left, goes to standard error if that is a terminal;
    lines go to the log file, and to standard error if that is none.

    Args:
        log: file to append to.
        description: what the bar counts.
    """

    def __init__(self, log: pathlib.Path, description: str):
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            unit="token",
            unit_scale=True,
            desc=description,
            disable=not self._on_terminal,
        )
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._bar.close()

    def start(self, total: int) -> None:
        """Says how many tokens there are to run."""
        self._bar.reset(total)

    def advance(self, tokens: int) -> None:
        """Moves the bar on."""
        self._bar.update(tokens)

    def log_line(self, line: str) -> None:
        """Adds a line to the log.

        Raises:
            InputOutputError: the operating system refuses.
        """
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        with (
            files.translated("write", self._log),
            open(self._log, "a", encoding="utf-8") as file,
        ):
            file.write(f"{stamp} {line}\n")
        if not self._on_terminal:
            _logger.info("%s", line)

"""What a long call says while it runs: a bar on a terminal or in a notebook, and lines for a log.

In: numbers and lines, as they become known. Out: the bar and the log's file. Lines also go to the
logger of this package, which the commands show and a user of the library may.
"""

import logging
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Self, TypeVar

from jaxneurons.disk import files

if TYPE_CHECKING:
    import tqdm

Item = TypeVar("Item")
_logger = logging.getLogger(__name__)


class Progress:
    """Says how far a call is, phase by phase::

        with Progress() as progress:
            progress.log_line("opt-125m: 12 layers")
            progress.keep_log(path / "study.log")
            progress.start(12 * 4096, "tokens x layers", "tokens")
            progress.describe("layer 0 of 12")
            progress.advance(4096)
            progress.log_line("layer 0 ...")
            progress.start(12, "analysis", "layers")

    It can be used again after it was closed, and knows how long each stage of the call took: the first, "start",
    begins when it is made.

    Args:
        shown: whether there are bars; None shows them on a terminal and in a notebook.
    """

    def __init__(self, shown: bool | None = None):
        self._shown = _is_watched() if shown is None else shown
        self._bar: tqdm.tqdm | None = None
        self._log: pathlib.Path | None = None
        self._before_log: list[str] = []
        self._stages = [("start", time.perf_counter())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def stage(self, name: str) -> None:
        """Begins a stage, which lasts until the next one."""
        self._stages.append((name, time.perf_counter()))

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage took so far, by name."""
        ends = [began for _, began in self._stages[1:]] + [time.perf_counter()]
        found: dict[str, float] = {}
        for (name, began), end in zip(self._stages, ends, strict=True):
            found[name] = found.get(name, 0) + end - began
        return found

    def start(self, total: int, doing: str, unit: str) -> None:
        """Begins a phase: a new bar in place of the one before.

        Args:
            total: what `advance` will count up to.
            doing: what stands before the bar, such as "analysis".
            unit: what is counted, in the plural.
        """
        from tqdm import auto

        self.close()
        # A terminal may say that it has no columns at all, and tqdm would believe it.
        columns, rows = (None, None) if _is_notebook() else shutil.get_terminal_size()
        self._bar = auto.tqdm(
            total=total,
            desc=doing,
            unit=f" {unit}",
            unit_scale=total >= 10_000,
            ncols=columns,
            nrows=rows,
            disable=not self._shown,
        )

    def advance(self, number: int = 1) -> None:
        """Moves the bar on."""
        if self._bar is not None:
            self._bar.update(number)

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each of which moves the bar on when it was used."""
        for item in items:
            yield item
            self.advance()

    def counter(self, doing: str, unit: str) -> Callable[[int, int], None]:
        """A phase as a callback, to be called with what is done and the total after each of them."""

        def count(done: int, total: int) -> None:
            if done == 1:
                self.start(total, doing, unit)
            self.advance()

        return count

    def describe(self, state: str) -> None:
        """Says behind the bar what is done at the moment, such as "layer 3 of 12"."""
        if self._bar is not None:
            self._bar.set_postfix_str(state)

    def keep_log(self, path: pathlib.Path) -> None:
        """Appends all lines to a file, those that came before this call too.

        Raises:
            InputOutputError: the operating system refuses.
        """
        self._log = path
        self._write(self._before_log)
        self._before_log = []

    def log_line(self, line: str) -> None:
        """Adds a line to the log; raises as `keep_log`."""
        stamped = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}\n"
        if self._log is None:
            self._before_log.append(stamped)
        else:
            self._write([stamped])
        _logger.info("%s", line)

    def log_once(self, line: str) -> None:
        """Adds a line unless it came before the log was kept; raises as `keep_log`."""
        if not any(said.endswith(f" {line}\n") for said in self._before_log):
            self.log_line(line)

    def _write(self, lines: list[str]) -> None:
        assert self._log is not None
        with (
            files.translated("write", self._log),
            # A path in a line need not be text.
            open(self._log, "a", encoding="utf-8", errors="backslashreplace") as file,
        ):
            file.writelines(lines)


def _is_watched() -> bool:
    """Whether somebody sees standard error as it is written."""
    return _is_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class LogHandler(logging.Handler):
    """Shows messages on standard error, above a bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the message and nothing else, as a line."""
        import tqdm

        try:
            tqdm.tqdm.write(self.format(record), file=sys.stderr)
        except OSError:
            # Standard error takes nothing: no reason to fail.
            pass

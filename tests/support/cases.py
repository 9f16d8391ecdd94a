"""A table of cases in one test: it counts as one, and a failure names its case."""

import contextlib
import functools
import inspect
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest

_REQUEST = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)


def each(
    names: str,
    cases: Collection[Any],
    fresh: str = "",
    every_day: Collection[Any] | None = None,
) -> Callable:
    """Calls the test once per case, in order, as `pytest.mark.parametrize` would.

    Every case has a `tmp_path` and a `monkeypatch` of its own. All other fixtures are those of the one test.

    Args:
        names: of the arguments that a case gives, separated by commas.
        cases: one value each, or one per name.
        fresh: the fixture, a folder or an object with a `path`, that every case finds as the first did.
        every_day: those of the cases that a campaign does not need to be asked for; None is all.
    """
    given = [name.strip() for name in names.split(",")]

    def decorate(test: Callable) -> Callable:
        kept = dict(inspect.signature(test).parameters)
        for name in given:
            del kept[name]
        asks = "request" in kept
        kept["request"] = _REQUEST

        @functools.wraps(test)
        def run_cases(**fixtures: Any) -> None:
            request = fixtures["request"] if asks else fixtures.pop("request")
            whole = every_day is None or request.config.getoption("--campaign")
            for number, case in enumerate(cases if whole else every_day):
                values = dict(
                    zip(given, case if len(given) > 1 else [case], strict=True)
                )
                with (
                    pytest.MonkeyPatch.context() as patch,
                    _restored(fixtures.get(fresh)),
                ):
                    own = {"monkeypatch": patch}
                    if "tmp_path" in fixtures:
                        own["tmp_path"] = fixtures["tmp_path"] / f"case{number}"
                        own["tmp_path"].mkdir()
                    own = {name: own[name] for name in own.keys() & fixtures.keys()}
                    try:
                        test(**(fixtures | own), **values)
                    except BaseException as error:
                        error.add_note(f"in case {number}: {values!r:.1000}")
                        raise

        run_cases.__signature__ = inspect.Signature(list(kept.values()))
        return run_cases

    return decorate


@contextlib.contextmanager
def _restored(fixture: Any) -> Iterator[None]:
    """Afterwards the fixture's folder, if it has one, holds what it held before."""
    if fixture is None:
        yield
        return
    folder = getattr(fixture, "path", fixture)
    with tempfile.TemporaryDirectory() as temporary:
        saved = pathlib.Path(temporary) / "saved"
        shutil.copytree(folder, saved, symlinks=True)
        yield
        shutil.rmtree(folder)
        shutil.copytree(saved, folder, symlinks=True)

"""A whole study in one call, ended early where a test wants it, and what it wrote as values."""

import collections
import contextlib
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any
from unittest import mock

from matplotlib import figure

import jaxneurons
from jaxneurons.command.progress import Progress
from jaxneurons.figures import paper
from jaxneurons.run.models import Model
from jaxneurons.store import reading
from jaxneurons.studies import opening
from jaxneurons.studies.directory import Study
from jaxneurons.text import corpus


def undrawn() -> contextlib.AbstractContextManager:
    """While it lasts, one empty figure is drawn in place of the paper's, which take most of a small study's time."""
    drawn = {"figure": figure.Figure((1, 1))}
    return mock.patch.object(paper, "draw", return_value=drawn)


class Stop(Exception):
    """Stands for whatever ends a run."""


class StopAtStart(Progress):
    """Ends a run when it is about to compute its first layer."""

    def start(self, *arguments: Any) -> None:
        raise Stop


class StopAfter(Progress):
    """Ends a run once so many layers are done."""

    def __init__(self, layers: int, error: type[BaseException] = Stop):
        super().__init__(shown=False)
        self._left, self._error = layers, error

    def log_line(self, line: str) -> None:
        super().log_line(line)
        if line.startswith("layer "):
            self._left -= 1
        if not self._left:
            raise self._error


def run_study(
    path: pathlib.Path,
    stored: pathlib.Path | str,
    sources: Sequence[tuple[str, pathlib.Path]],
    name: str = "model",
    window: int | None = None,
    max_tokens: int | None = None,
    cache: pathlib.Path | None = None,
    **chosen: Any,
) -> Study:
    """The finished study of a layer store, begun or gone on with; chosen: what `jaxneurons.study` takes.


    No figure is drawn unless asked for: they would take most of the time.
    """
    model = Model(name, reading.open_store(stored))
    length = window or model.config.max_position_embeddings
    text = corpus.load_windows(
        sources, model.tokenizer, model.config, length, max_tokens, cache
    )
    unseen = {"figures": False, "resume": True, "progress": Progress(shown=False)}
    jaxneurons.study(model, text, path, **(unseen | chosen))
    return opening.open_any(path)


def digests(path: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every result of a study, by file name."""
    results = [*(path / "arrays").rglob("*"), *path.glob("*.jsonl")]
    results += [path / "summary.json", *path.glob("figures/*")]
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in results
        if file.is_file()
    }


def logged_layers(path: pathlib.Path) -> list[int]:
    """Layers in the order in which the log says that they ended."""
    lines = (path / "study.log").read_text().splitlines()
    return [int(line.split()[2]) for line in lines if line.split()[1] == "layer"]


def integer_arrays(study: Study) -> dict[str, tuple[str, bytes]]:
    """Type and bytes of every array of integers, by name."""
    arrays = {name: study.read(name) for name in study.facts.arrays}
    return {
        name: (str(array.dtype), array.tobytes())
        for name, array in arrays.items()
        if array.dtype.kind in "iu"
    }


def summary(study: Study) -> dict[str, Any]:
    """The content of summary.json."""
    return json.loads((study.path / "summary.json").read_bytes())


def read_lines(study: Study, name: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The records of a .jsonl file by layer and neuron."""
    lines = (study.path / name).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    by_place = {(each["layer"], each["neuron"]): each for each in found}
    assert len(by_place) == len(found)
    return by_place


def read_triggers(
    study: Study, n: int
) -> dict[tuple[int, int], dict[tuple[int, ...], tuple[int, int]]]:
    """Activations and occurrences of each trigger of each n-gram detector."""
    return {
        place: {
            tuple(trigger["ids"]): (trigger["activations"], trigger["occurrences"])
            for trigger in line["triggers"]
        }
        for place, line in read_lines(study, f"detectors_{n}.jsonl").items()
    }


def read_candidates(
    study: Study, n: int
) -> dict[tuple[int, int], dict[tuple[int, ...], tuple[int, int]]]:
    """Activations and occurrences of each candidate n-gram of each neuron that has any."""
    names = ("layer", "neuron", "ngram", "activations", "occurrences")
    columns = [study.read(f"candidate_{n}_{name}").tolist() for name in names]
    by_neuron: dict[tuple[int, int], dict] = collections.defaultdict(dict)
    for layer, neuron, ngram, activations, occurrences in zip(*columns, strict=True):
        assert tuple(ngram) not in by_neuron[layer, neuron]
        by_neuron[layer, neuron][tuple(ngram)] = (activations, occurrences)
    return by_neuron


def assert_same(path: pathlib.Path, whole: pathlib.Path) -> None:
    """A finished study has the files and bits of another."""
    found, expected = _digests(path), _digests(whole)
    differing = sorted({name for name, _ in found.items() ^ expected.items()})
    # Here pytest does not say what differs.
    assert not differing, differing
    assert _names(path) == _names(whole)


def _names(path: pathlib.Path) -> set[str]:
    """Of all files and folders of a study but its log, which a kill may keep from being begun."""
    return {str(file.relative_to(path)) for file in path.rglob("*")} - {"study.log"}


def _digests(path: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every file of a study but the two that hold times."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file() and file.name not in ("study.json", "study.log")
    }

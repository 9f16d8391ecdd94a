"""A page that shows studies in a browser, with no server: finished studies in, a folder with index.html out.

    index.html, *.css, *.js         the page, as it lies in `page/`
    data/study.js                   what is studied, and what was found, by layer
    data/layers/012.js              columns of every neuron of a layer
    data/neurons/012/0031.js        everything else about 128 neurons
    data/triggers.js                triggers of all these neurons, for search
    data/tokens.js, text/0003.js    what the ids are; the windows of the text, as ids

Of several studies, the second has its files in data/2, and so on.
"""

import itertools
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxneurons import errors
from jaxneurons.command import named_paths
from jaxneurons.command.progress import Progress
from jaxneurons.disk import files
from jaxneurons.disk.places import Folder
from jaxneurons.explorer import choice, contents, details, layer_columns, shards
from jaxneurons.studies import opening, vocabulary
from jaxneurons.studies.directory import Study

NAME = "explorer"
PAGE = pathlib.Path(__file__).with_name("page")
# Neurons, and tokens of text, in a script: what is read for one of them.
NEURONS = 128
TOKENS = 4096


def open_studies(
    studies: Iterable[tuple[str, Folder]],
) -> dict[str, Study]:
    """Finished studies by name from name and directory each; without a name, the model's.

    Raises:
        StudyError: a directory holds no finished study.
        UsageError: two studies have the same name.
    """
    found = [(name, path, opening.open_finished(path)) for name, path in studies]
    return named_paths.by_name(
        (name or study.identity.model.name, path, study) for name, path, study in found
    )


def write_in_study(
    path: pathlib.Path, progress: Progress | None = None
) -> pathlib.Path:
    """Writes the page of one study into its folder `explorer`; raises as `open_studies` and `write`."""
    return write(open_studies([("", path)]), path / NAME, progress)


def write(
    studies: Mapping[str, Study],
    out: os.PathLike | str,
    progress: Progress | None = None,
    most: int = choice.MOST,
) -> pathlib.Path:
    """Writes a page, in place of one that is there.

    Args:
        studies: finished ones, by the name that the page gives them.
        out: the page's folder: new, empty, or holding such a page.
        progress: what says how far it is; None shows a bar on a terminal and in a notebook.
        most: neurons of a study to tell everything of; of the others the page has the columns alone.

    Returns:
        The path of index.html.

    Raises:
        OutputExistsError: there is something else in the folder.
        StudyError: an array or a file of a study is missing or damaged.
        InputOutputError: the operating system refuses.
    """
    out = pathlib.Path(out)
    is_page = all((out / name).exists() for name in ("index.html", "shards.js"))
    if not is_page and not files.is_free(out):
        raise errors.OutputExistsError(
            f"{out} holds something other than such a page. Choose another path."
        )
    with (
        progress or Progress() as shown,
        files.partial_directory(out, "a page", replaces=is_page) as folder,
        files.translated("write", out),
    ):
        shown.stage("page")
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        shown.start(
            sum(len(each.asked_layers) for each in studies.values()), "page", "layers"
        )
        described = []
        for number, (name, study) in enumerate(studies.items(), 1):
            home = f"data/{number}" if number > 1 else "data"
            entries = _write_study(study, home, folder, shown, most)
            described.append(contents.describe(study, name) | entries)
        _put(folder, "", "data/study", described)
    return out / "index.html"


def _write_study(
    study: Study, home: str, folder: pathlib.Path, progress: Progress, most: int
) -> dict[str, Any]:
    """Writes all scripts of a study but data/study.js; returns the layout that study.js describes."""
    identity = contents.fingerprint(study)
    texts, separator = vocabulary.texts(study)
    _put(folder, identity, f"{home}/tokens", texts)
    for number, windows in enumerate(_windows(study)):
        _put(folder, identity, f"{home}/text/{number:04d}", shards.packed(windows))
    room, chosen = most // len(study.asked_layers), {}
    for layer in study.asked_layers:
        columns = layer_columns.read(study, layer)
        chosen[layer] = choice.choose(layer, columns, room)
        columns["detailed"] = np.isin(
            np.arange(study.identity.model.config.ffn_dim), chosen[layer]
        )
        _put(folder, identity, f"{home}/layers/{layer:03d}", shards.packed(columns))
    detailed = sum(map(len, chosen.values()))
    edges = details.position_edges(study, detailed)
    triggers = details.triggers(study, chosen)
    _put(folder, identity, f"{home}/triggers", shards.packed(_joined(triggers)))
    for layer, neurons in progress.each(chosen.items()):
        arrays_of_layer = details.read(study, layer, neurons, edges)
        for number, arrays in _split(neurons, arrays_of_layer, triggers[layer]):
            path = f"{home}/neurons/{layer:03d}/{number:04d}"
            _put(folder, identity, path, shards.packed(arrays))
    return {
        "home": home,
        "separator": separator,
        "windows_per_script": _windows_per_script(study),
        "neurons_per_script": NEURONS,
        "position_edges": edges,
        "detailed": detailed,
    }


def _put(folder: pathlib.Path, study: str, path: str, content: object) -> None:
    target = folder / f"{path}.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(shards.script(study, path, content))


def _windows_per_script(study: Study) -> int:
    return -(-TOKENS // study.identity.settings.window)


def _windows(study: Study) -> Iterator[dict[str, np.ndarray]]:
    """The study's windows as they lie in each script: tokens one after the other, lengths and domains."""
    lengths, domains = study.read("window_length"), study.read("window_domain")
    number = _windows_per_script(study)
    for first in range(0, len(lengths), number):
        rows = slice(first, first + number)
        tokens = study.array("tokens").read_rows(
            first, min(first + number, len(lengths))
        )
        within = np.arange(tokens.shape[1]) < lengths[rows, None]
        yield {
            "tokens": tokens[within],
            "length": lengths[rows],
            "domain": domains[rows],
        }


def _joined(triggers: Mapping[int, details.Arrays]) -> details.Arrays:
    """The triggers of all layers, one after the other, each with its layer."""
    layers = [
        np.full(len(each["trigger_neuron"]), layer) for layer, each in triggers.items()
    ]
    names = next(iter(triggers.values()))
    joined = {
        name: np.concatenate([each[name] for each in triggers.values()])
        for name in names
    }
    return {"trigger_layer": np.concatenate(layers), **joined}


def _split(
    neurons: np.ndarray, detailed: details.Arrays, triggers: details.Arrays
) -> Iterator[tuple[int, details.Arrays]]:
    """Details of a layer's neurons, script by script."""
    for number, group in itertools.groupby(
        range(len(neurons)), lambda i: neurons[i] // NEURONS
    ):
        rows = list(group)
        first, last = number * NEURONS, (number + 1) * NEURONS
        mine = slice(*np.searchsorted(triggers["trigger_neuron"], (first, last)))
        yield (
            int(number),
            {"neuron": neurons[rows]}
            | {name: array[rows] for name, array in detailed.items()}
            | {name: array[mine] for name, array in triggers.items()},
        )

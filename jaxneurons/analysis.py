"""From a study's arrays to its findings: summary.json, tables and figures, layer by layer in memory.

In: a study whose layers are all done. Out: files beside its arrays, each written atomically.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jaxneurons import arrays, errors, files
from jaxneurons.figures import paper, style
from jaxneurons.stats import activation
from jaxneurons.study import Study

SUMMARY = "summary.json"
SUMMARY_VERSION = 1


def analyze(record: Study) -> dict[str, Any]:
    """Computes what the study's arrays say and writes summary.json and the figures.

    Returns:
        The content of summary.json.
    """
    summary = summarize(record)
    files.write_atomically(record.path / SUMMARY, arrays.to_json_bytes(summary))
    name = summary["model"]["name"]
    save_figures(paper.all_figures({name: summary}), record.path / "figures")
    return summary


def summarize(record: Study) -> dict[str, Any]:
    """The numbers behind every figure, as plain JSON values."""
    config = record.manifest["model"]["config"]
    return {
        "format_version": SUMMARY_VERSION,
        "model": {
            "name": record.manifest["model"]["name"],
            "layers": config["num_hidden_layers"],
            "neurons": config["ffn_dim"],
        },
        "activation": _activation(record),
    }


def read_summary(path: pathlib.Path) -> dict[str, Any]:
    """The summary.json of a study directory.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    try:
        summary = json.loads((path / SUMMARY).read_bytes())
    except FileNotFoundError as error:
        raise errors.StudyError(
            f"{path}: no {SUMMARY}: not a finished study"
        ) from error
    except (ValueError, RecursionError) as error:
        raise errors.StudyError(f"{path}: {SUMMARY} is damaged: {error}") from error
    if summary.get("format_version") != SUMMARY_VERSION:
        raise errors.FormatVersionError(
            f"{path}: {SUMMARY} has format version {summary.get('format_version')!r}, "
            f"this code reads version {SUMMARY_VERSION}"
        )
    return summary


def read_summaries(values: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Summaries by name from "DIR" or "NAME=DIR" each; without a name, the model's.

    Raises:
        StudyError: a directory holds no finished study.
        UsageError: two studies have the same name.
    """
    summaries: dict[str, dict[str, Any]] = {}
    for value in values:
        name, _, path = value.rpartition("=")
        summary = read_summary(pathlib.Path(path))
        name = name or summary["model"]["name"]
        if name in summaries:
            raise errors.UsageError(
                f"two studies are called {name!r}: name them, --study=NAME={path}"
            )
        summaries[name] = summary
    return summaries


def draw_studies(
    summaries: Mapping[str, Mapping[str, Any]], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes every figure of the paper for several studies into a new directory; gives the paths.

    Raises:
        OutputExistsError: the directory is not empty.
    """
    with files.partial_directory(folder, "a folder of figures") as partial:
        paths = save_figures(paper.all_figures(summaries), partial)
    return [folder / path.name for path in paths]


def save_figures(
    figures: Mapping[str, Any], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes each figure as PNG and SVG and gives the paths."""
    with files.translated("write", folder):
        folder.mkdir(exist_ok=True)
    paths = []
    for name, figure in figures.items():
        for suffix in ("png", "svg"):
            path = folder / f"{name}.{suffix}"
            files.write_atomically(path, style.render(figure, suffix))
            paths.append(path)
    return paths


def figure_paths(path: pathlib.Path) -> list[pathlib.Path]:
    """The figures in a study's directory, by name."""
    return sorted((path / "figures").iterdir())


def _activation(record: Study) -> dict[str, Any]:
    tokens = {
        name: domain["tokens"]
        for name, domain in sorted(
            record.manifest["corpus"].items(), key=lambda item: item[1]["index"]
        )
    }
    layers = [
        activation.summarize_layer(
            layer,
            record.read_layer("activation_count", layer),
            tokens,
            record.read_layer("min_preactivation", layer),
            record.read_layer("max_preactivation", layer),
        )
        for layer in record.asked_layers
    ]
    model_layers = record.manifest["model"]["config"]["num_hidden_layers"]
    return activation.summarize(layers, model_layers, tokens)

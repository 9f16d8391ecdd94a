"""A study's counts in; detectors_{n}.jsonl, positional.jsonl, arrays of findings, summary.json and figures out.

Nothing here needs text. Only what neurons write needs the model; without it that part is left out.
Files are replaced one by one, each atomically, summary.json after them and study.json last.
"""

import contextlib
import dataclasses
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from jaxneurons import terms
from jaxneurons.analysis import (
    activation,
    domains,
    drawing,
    neurons,
    ngrams,
    positions,
    promoted,
)
from jaxneurons.command.progress import Progress
from jaxneurons.disk import files, folders, places, strict_json
from jaxneurons.disk.places import Folder, Place
from jaxneurons.stats import domains as domain_stats
from jaxneurons.stats import position_information, position_types, thresholds
from jaxneurons.stats import suppression as suppression_stats
from jaxneurons.store.reading import Store
from jaxneurons.studies import opening, summary, vocabulary
from jaxneurons.studies.directory import ARRAYS, Study


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Every threshold of the findings, as `jaxneurons/stats/README.md` defines them.

    Attributes:
        detectors: what makes a neuron an n-gram detector.
        positions: what makes a neuron positional, and of what type.
        suppression: sizes of the tables and controls of token suppression.
        domains: what makes a neuron specific to a domain.
        null: draws that say which mutual information chance explains; None makes none.
    """

    detectors: thresholds.Criteria = dataclasses.field(
        default_factory=thresholds.Criteria
    )
    positions: position_types.PositionCriteria = dataclasses.field(
        default_factory=position_types.PositionCriteria
    )
    suppression: suppression_stats.Settings = dataclasses.field(
        default_factory=suppression_stats.Settings
    )
    domains: domain_stats.Criteria = dataclasses.field(
        default_factory=domain_stats.Criteria
    )
    null: position_information.Null | None = None


def analyze(
    study: Study,
    model: Store | None,
    wanted: Thresholds,
    into: Study,
    figures: bool = True,
    progress: Progress | None = None,
) -> None:
    """Finds what a study's counts hold and writes it.

    What neurons promote and suppress depends on no threshold, and is found where the study does not have it yet.

    Args:
        study: whose layers are all done.
        model: the layer store of the model studied; None leaves out what neurons promote and
            suppress.
        wanted: the thresholds.
        into: where to write: the study itself, or one in another directory.
        figures: whether to draw the paper's figures.
        progress: what says how far it is; None shows a bar on a terminal and in a notebook.

    Raises:
        StudyError: an array is missing or damaged.
        MismatchError: the model is another one than was studied.
        UsageError: thresholds that the stored candidates cannot answer.
    """
    if model is not None:
        opening.require_model(study, model.fingerprint, model.location)
    folder, findings = into.folder, neurons.Findings(study)
    orders = terms.ORDERS if study.identity.settings.ngrams else ()
    lacking = model if not promoted.is_written(study) else None
    with progress or Progress() as shown:
        shown.stage("analysis")
        phases = len(orders) + 1 + (lacking is not None)
        shown.start(phases * len(study.asked_layers), "analysis", "layers")
        criteria, note = (wanted.detectors, wanted.suppression), findings.add_detector
        found = ngrams.write_detectors(study, model, *criteria, folder, note, shown)
        positional = _write_positional(study, wanted, folder, findings, shown)
        if lacking is not None:
            promoted.write(into, vocabulary.read(study).real, lacking, shown)
    if warning := positional["warning"]:
        logging.getLogger(__name__).warning("%s", warning)
    specific = domains.find(study, wanted.domains)
    findings.add_specific(specific)
    findings.write(into)
    sections = _sections(study, found, positional) | {
        "domains": domains.summarize(study, specific, wanted.domains)
    }
    if figures:
        _draw(sections, folder, shown)
    written = [summary.POSITIONAL, *map(summary.detectors_name, orders)]
    summary.write(folder, sections, written)


def _sections(
    study: Study, found: ngrams.Sections, positional: dict[str, Any]
) -> dict[str, Any]:
    """What summary.json says."""
    studied, settings = study.identity.model, study.identity.settings
    return {
        "model": {
            "name": studied.name,
            "layers": studied.config.num_hidden_layers,
            "neurons": studied.config.ffn_dim,
            **({} if studied.step is None else {"step": studied.step}),
        },
        "study": {
            "window": settings.window,
            "dtype": settings.arithmetic,
        },
        "activation": activation.summarize(study),
        "ngrams": found.ngrams,
        "suppression": found.suppression,
        "positions": positional,
    }


def _draw(sections: dict[str, Any], folder: pathlib.Path, progress: Progress) -> None:
    """Draws the figures, and says which were not drawn and why."""
    progress.stage("figures")
    summaries = {sections["model"]["name"]: sections}
    drawn = drawing.save(summaries, folder / "figures", progress=progress)
    for note in drawn.notes:
        logging.getLogger(__name__).info("%s", note)


def _write_positional(
    study: Study,
    wanted: Thresholds,
    folder: pathlib.Path,
    findings: neurons.Findings,
    progress: Progress,
) -> dict[str, Any]:
    """Writes positional.jsonl layer by layer and gives the section of summary.json."""
    summaries = []
    with files.replacing(folder / summary.POSITIONAL) as file:
        found = positions.find_by_layer(study, wanted.positions, wanted.null)
        for layer in progress.each(found):
            for record in layer.records:
                file.write(strict_json.to_line(record))
                findings.add_positional(record)
            summaries.append(layer.summary)
    return positions.summarize(study, summaries, wanted.positions)


def analyze_again(
    study: Study, model: Store | None, wanted: Thresholds, out: str | None
) -> Folder:
    """Analyzes a finished study in place, or into a new directory, and gives the directory.

    Raises:
        OutputExistsError: the directory is not empty, or another process works on the study.
    """
    if out is None:
        with study.locked():
            with _staged(study.path) as stage:
                made = Study(stage, study.facts)
                analyze(study, model, wanted, made)
            study.facts = made.facts
            study.write_group()
            study.save()
        return study.path
    folder = places.local(out)
    with files.partial_directory(folder, "an analysis") as partial:
        made = Study(partial, study.facts)
        with files.translated("write", partial):
            (partial / ARRAYS).mkdir()
        analyze(study, model, wanted, made)
        made.write_group()
    return folder


@contextlib.contextmanager
def _staged(folder: Folder) -> Iterator[pathlib.Path]:
    """A local folder whose files replace those of the same name when all are whole, the summary last.

    Figures that are not drawn any more go: they show other thresholds.
    """
    with _stage(folder) as stage:
        yield stage
        made = [path for path in stage.rglob("*") if path.is_file()]
        placed = {path: folder / path.relative_to(stage).as_posix() for path in made}
        former = drawing.drawn_before(folder / "figures").difference(placed.values())
        with files.translated("write", folder):
            for old in former:
                folders.remove(old)
            for path in sorted(made, key=lambda path: path.name == summary.NAME):
                folders.move(path, placed[path])


@contextlib.contextmanager
def _stage(folder: Folder) -> Iterator[pathlib.Path]:
    """An empty folder: one below the other, or where that is in an object store a temporary one."""
    if isinstance(folder, Place):
        with tempfile.TemporaryDirectory() as temporary:
            yield pathlib.Path(temporary)
        return
    stage = folder / f".analysis{files.PARTIAL}"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        with files.translated("write", folder):
            stage.mkdir()
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)

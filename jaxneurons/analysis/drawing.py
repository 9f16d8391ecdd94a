"""Summaries of studies in, the paper's figures and their captions as files out.

Matplotlib takes half a second to import, so that it is imported only where something is drawn.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxneurons import errors
from jaxneurons.command import named_paths
from jaxneurons.command.progress import Progress
from jaxneurons.disk import files, folders
from jaxneurons.disk.places import Folder
from jaxneurons.studies import summary

CAPTIONS = "captions.md"

Summaries = Mapping[str, Mapping[str, Any]]


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
        paths: the files: each figure as PNG and SVG, tables as Markdown, and the captions.
        notes: a line each on studies that were not made alike, and on figures with nothing to show.
    """

    paths: list[pathlib.Path]
    notes: list[str]


def require_matplotlib() -> None:
    """Raises UsageError or InputOutputError where it cannot be imported, before hours of work and not after."""
    import jaxneurons.figures  # noqa: F401  its import checks Matplotlib


def read_summaries(
    studies: Sequence[tuple[str, Folder]],
) -> dict[str, dict[str, Any]]:
    """Summaries by name from name and directory each; without a name, the model's.

    Raises:
        StudyError: a directory holds no finished study.
        UsageError: two studies have the same name.
    """
    found = [(name, path, summary.read(path)) for name, path in studies]
    return named_paths.by_name(
        (name or each["model"]["name"], path, each) for name, path, each in found
    )


def read_checkpoints(
    studies: Sequence[tuple[str, Folder]],
) -> dict[str, dict[str, Any]]:
    """Summaries of studies of training runs' checkpoints, by "RUN, step N", from name of the run and directory each.

    Without a name, the run is called as the model.

    Raises:
        StudyError: a directory holds no finished study.
        UsageError: a study is of no training step, two are of the same, or a run has one only.
    """
    summaries: dict[str, dict[str, Any]] = {}
    runs = []
    for name, path in studies:
        found = summary.read(path)
        step = found["model"].get("step")
        if step is None:
            raise errors.UsageError(
                f"{path} is no study of a training run's checkpoint. Study the training directory at one of its steps."
            )
        run = name or found["model"]["name"]
        key = f"{run}, step {step}"
        if key in summaries:
            raise errors.UsageError(
                f"two studies are of {key}. Leave {path} out, or name its run otherwise, as NAME={path}."
            )
        summaries[key] = found
        runs.append(run)
    if single := [run for run in runs if runs.count(run) == 1]:
        raise errors.UsageError(
            f"{single[0]} has one study. Pass studies of at least two steps of a run."
        )
    return summaries


def draw_training(
    summaries: Summaries, folder: pathlib.Path, overwrite: bool = False
) -> Drawn:
    """Writes the figure over training steps, for what `read_checkpoints` gives; as `draw_studies`."""
    from jaxneurons.figures import plots

    return _write(summaries, folder, [plots.OVER_TRAINING], overwrite)


def draw_studies(
    summaries: Summaries,
    folder: pathlib.Path,
    numbers: Sequence[str] = (),
    overwrite: bool = False,
) -> Drawn:
    """Writes the paper's figures for several studies into a directory.

    Args:
        summaries: by name of the study.
        folder: the directory.
        numbers: of the figures to draw, such as "8"; 10, 11 and 16 are Figure 8 under the numbers
            that it has for other models. Without any, all but those three are drawn.
        overwrite: whether the figures in a directory that is not empty are replaced. Its other
            files stay.

    Raises:
        OutputExistsError: the directory is not empty, and nothing is to be overwritten.
        UsageError: the paper has no figure of a number, or it is not one of ours.
    """
    from jaxneurons.figures import plots

    known = plots.by_number()
    if unknown := [number for number in numbers if number not in known]:
        raise errors.UsageError(
            f"no figure has the number {', '.join(unknown)}. Choose from {', '.join(known)}."
        )
    wanted = [plot for number in dict.fromkeys(numbers) for plot in known[number]]
    return _write(summaries, folder, wanted, overwrite)


def _write(
    summaries: Summaries, folder: pathlib.Path, wanted: Sequence[Any], overwrite: bool
) -> Drawn:
    """Writes figures into a new directory, or over those of one."""
    if overwrite:
        return _replace(summaries, folder, wanted)
    try:
        with files.partial_directory(folder, "a folder of figures") as partial:
            drawn = save(summaries, partial, wanted)
    except errors.OutputExistsError as error:
        raise errors.OutputExistsError(
            f"{folder} is not empty. Choose another path, or overwrite its figures.",
            {"overwrite": True},
        ) from error
    return drawn._replace(paths=[folder / path.name for path in drawn.paths])


def _replace(
    summaries: Summaries, folder: pathlib.Path, wanted: Sequence[Any]
) -> Drawn:
    """Writes figures over those that are there; what is not drawn any more goes when all others are written."""
    with files.translated("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        former = drawn_before(folder)
    drawn = save(summaries, folder, wanted)
    with files.translated("write", folder):
        for path in former.difference(drawn.paths):
            folders.remove(path)
    return drawn


def drawn_before(folder: Folder) -> set[Folder]:
    """The figures and tables in a folder that bear the names of ours."""
    from jaxneurons.figures import plots

    known = [plots.OVER_TRAINING]
    known += [plot for same in plots.by_number().values() for plot in same]
    names = {plot.file_name for plot in known}
    return {
        path
        for path in folders.find(folder, "figure_*")
        if (name := pathlib.PurePath(path.name)).stem in names
        and name.suffix in (".png", ".svg", ".md")
    }


def save(
    summaries: Summaries,
    folder: pathlib.Path,
    wanted: Sequence[Any] = (),
    progress: Progress | None = None,
) -> Drawn:
    """Writes figures, tables and captions.

    Args:
        summaries: by name of the study.
        folder: where to write.
        wanted: which of the `plots.PLOTS`; none is all.
        progress: what says how far it is; None shows a bar on a terminal and in a notebook.
    """
    from jaxneurons.figures import captions, paper, plots, style

    wanted = wanted or plots.PLOTS
    with files.translated("write", folder):
        folder.mkdir(exist_ok=True)
    contents: dict[str, bytes] = {}
    figures = paper.draw(summaries, wanted)
    with progress or Progress() as shown:
        shown.start(len(figures), "figures", "figures")
        for name, figure in shown.each(figures.items()):
            for suffix in ("png", "svg"):
                contents[f"{name}.{suffix}"] = style.render(figure, suffix)
    for name, table in paper.tables(summaries, wanted).items():
        contents[f"{name}.md"] = table.encode()
    contents[CAPTIONS] = captions.write(summaries, wanted).encode()
    for name, content in contents.items():
        files.write_atomically(folder / name, content)
    return Drawn(
        [folder / name for name in contents], captions.notes(summaries, wanted)
    )

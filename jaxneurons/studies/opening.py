"""Creating, resuming and opening a study.

In: a path, and what is studied where the study is to be written. Out: a `Study`, or an error that
says what is in the way.
"""

import contextlib
import pathlib
from collections.abc import Iterator

from jaxneurons import errors
from jaxneurons.disk import files, folders
from jaxneurons.disk.places import Folder
from jaxneurons.studies import facts
from jaxneurons.studies.directory import ARRAYS, PARTIAL, Study
from jaxneurons.studies.facts import Facts, Identity


@contextlib.contextmanager
def creating(path: pathlib.Path, identity: Identity) -> Iterator[Study]:
    """Begins a study: what the block writes appears at `path` when it ends, with study.json.

    Args:
        path: a directory that does not exist or is empty.
        identity: what is studied, how and with what.

    Raises:
        OutputExistsError: path is taken; says so if an unfinished study there can be resumed.
    """
    refuse_taken(path)
    with files.partial_directory(path, "a study") as partial:
        study = Study(partial, Facts(identity=identity))
        with files.translated("write", path):
            (partial / PARTIAL).mkdir()
            (partial / ARRAYS).mkdir()
        yield study
        study.save()


def resume(path: Folder, identity: Identity) -> Study:
    """Opens an unfinished study to continue it.

    Raises:
        StudyError: there is none, or it is damaged.
        OutputExistsError: it is finished.
        MismatchError: it was begun with something else; names all that differs.
    """
    study = open_any(path)
    if study.facts.complete:
        # A process killed in its last moment may have left this.
        folders.remove_tree(study.path / PARTIAL)
        raise errors.OutputExistsError(f"{path} is finished: nothing to resume")
    if differences := facts.differences(study.identity, identity):
        raise errors.MismatchError(
            f"{path} cannot be resumed, because it was begun with something else: "
            + "; ".join(differences)
        )
    return study


def open_any(path: Folder) -> Study:
    """Opens a study, finished or not.

    Raises:
        StudyError: there is none, or study.json is damaged.
        FormatVersionError: it was written in another version of the format.
        InputOutputError: the operating system refuses.
    """
    if isinstance(path, pathlib.Path):
        path = path.absolute()
    return Study(path, facts.read(path))


def open_finished(path: Folder) -> Study:
    """Opens a finished study; raises as `open_any`, and StudyError where it is not finished."""
    study = open_any(path)
    if not study.facts.complete:
        raise errors.StudyError(
            f"{path} is not finished. Resume the run that makes it."
        )
    return study


def refuse_taken(path: Folder) -> None:
    """Raises OutputExistsError where no study can be begun; says so if one there can be resumed."""
    try:
        unfinished = not open_any(path).facts.complete
    except errors.BadDataError:
        # No study of ours, but something else may be in the way.
        unfinished = False
    if unfinished:
        raise errors.OutputExistsError(
            f"{path} holds an unfinished study. Resume it, or write to another path."
        )
    files.refuse_existing(path, "a study")


def require_model(study: Study, fingerprint: str, location: str) -> None:
    """Raises MismatchError unless a model, with its place for the message, is the one that was studied."""
    studied = study.identity.model.fingerprint
    if fingerprint != studied:
        raise errors.MismatchError(
            f"{location} is not the model of {study.path}: its fingerprint is {fingerprint[:16]}, not {studied[:16]}. "
            "Name the model that was studied."
        )

"""A study in an object store: worked on in a local folder, and copied to its place whenever it is saved.

In: a place and a folder. Out: the same files in both, study.json last, so that any machine can
resume from the place. Hidden states stay in the folder. Files never change once study.json names
them, until the findings at the end; what a killed run sent and did not name is sent again.
"""

import hashlib
import pathlib
import secrets
import shutil
from concurrent import futures
from typing import Any

from jaxneurons import errors, processes
from jaxneurons.disk import files, folders, places, strict_json
from jaxneurons.disk.places import Place
from jaxneurons.studies import facts
from jaxneurons.studies.directory import PARTIAL
from jaxneurons.studies.facts import Facts

# What was sent last: size and time of each file, and the digest of study.json.
STATE = f"{PARTIAL}/mirror.json"
_AT_ONCE = 4


class Mirror:
    """The copy of a study's folder at a place.

    All methods raise InputOutputError where the disk or the object store refuses.

    Attributes:
        folder: the local one.
        place: the other.
    """

    def __init__(self, folder: pathlib.Path, place: Place):
        self.folder = folder
        self.place = place
        self._sent: dict[str, Any] = {}
        self._there: bytes | None = None

    def clear(self) -> None:
        """Removes the local folder; raises OutputExistsError where another process is in it."""
        if self.folder.exists():
            with files.locked_directory(self.folder, "working on this study"):
                shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, said: Facts) -> None:
        """Sends a new study; raises OutputExistsError where something is at the place by now."""
        with folders.filling(self.place, "a study"):
            self._send(said)
            self._there = self._sealed()
            folders.publish(self.place / facts.NAME, self._there, "a study")
        self._remember()

    def send(self, said: Facts) -> None:
        """Sends what changed since, and study.json, which says `said`, last.

        Raises:
            OutputExistsError: another process has continued the study meanwhile.
        """
        self._send(said)
        sealed = self._sealed()
        if not (self.place / facts.NAME).replace(self._there, sealed):
            raise errors.OutputExistsError(
                f"{self.place}: another process has continued this study meanwhile. Open it again."
            )
        self._there = sealed
        if said.complete:
            (self.place / PARTIAL).remove_all()
        else:
            self._remember()

    def fetch(self) -> None:
        """Makes the folder what the place holds, unless it was sent from here, where it may be newer."""
        self._there = (self.place / facts.NAME).read()
        # Left there by a run that was killed as soon as it had written study.json.
        (self.place / places.MARKER).remove()
        if self.folder.exists():
            with files.locked_directory(self.folder, "working on this study"):
                self._sent = self._remembered()
                if self._sent and not self._is_complete():
                    return
                shutil.rmtree(self.folder, ignore_errors=True)
        with files.partial_directory(self.folder, "a copy of a study") as partial:
            for key in self.place.files():
                if key not in (places.MARKER, facts.NAME) and _is_inside(key):
                    self._fetch(key, partial)
            (partial / PARTIAL).mkdir(exist_ok=True)
            files.write_atomically(partial / facts.NAME, self._there)
        self._sent = self._states()
        self._remember()

    def _fetch(self, key: str, folder: pathlib.Path) -> None:
        content = (self.place / key).read()
        with files.translated("write", folder / key, len(content)):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(content)

    def _send(self, said: Facts) -> None:
        states = {
            name: state
            for name, state in self._states().items()
            if not name.startswith(f"{PARTIAL}/") or name in said.files
        }
        changed = [name for name in states if states[name] != self._sent.get(name)]

        def send(name: str) -> None:
            (self.place / name).write(files.read_file(self.folder / name))

        with (
            files.translated("read", self.folder),
            futures.ThreadPoolExecutor(_AT_ONCE) as workers,
        ):
            for _ in workers.map(send, changed):
                pass
        self._sent = states

    def _states(self) -> dict[str, Any]:
        """Size and time of change of every file but study.json, by its path in the study."""
        states = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name not in (facts.NAME, STATE):
                status = path.stat()
                states[name] = [status.st_size, status.st_mtime_ns]
        return states

    def _sealed(self) -> bytes:
        with files.translated("read", self.folder / facts.NAME):
            return files.read_file(self.folder / facts.NAME)

    def _remember(self) -> None:
        said = {"sent": self._sent, "study": _digest(self._there)}
        files.write_atomically(self.folder / STATE, strict_json.to_bytes(said))

    def _remembered(self) -> dict[str, Any]:
        """What was sent from here; nothing if somebody else has sent something since."""
        try:
            said = strict_json.read_object(self.folder / STATE, errors.StudyError)
        except (errors.StudyError, errors.InputOutputError):
            return {}
        return said["sent"] if said["study"] == _digest(self._there) else {}

    def _is_complete(self) -> bool:
        """Whether the folder's study is, and was killed before the place's was; or is not to be read."""
        try:
            return facts.read(self.folder).complete
        except errors.StudyError:
            return True


def local_folder(place: Place, above: pathlib.Path, is_shared: bool) -> pathlib.Path:
    """Where, below a folder that is made, a study is worked on that is to be at a place.

    Raises:
        UsageError: the folder above has to be shared, and the processes do not all see the same one.
        InputOutputError: the operating system refuses.
    """
    with files.translated("write", above):
        above.mkdir(parents=True, exist_ok=True)
    if is_shared and processes.number() > 1:
        mark = above / processes.from_first(lambda: _leave_mark(above))
        seen = processes.exchange(mark.exists())
        if processes.is_first():
            mark.unlink(missing_ok=True)
        if not all(seen):
            raise errors.UsageError(
                f"process {seen.index(False)} does not see what process 0 writes to its cache. Name a cache that all "
                "processes share, or a spill directory."
            )
    address = hashlib.sha256(place.url.encode()).hexdigest()[:16]
    return above / f"{place.name[:100]}-{address}"


def _leave_mark(folder: pathlib.Path) -> str:
    """The name of a file, drawn at random, that this process writes to a folder."""
    name = f"{secrets.token_hex(8)}{files.PARTIAL}"
    files.write_atomically(folder / name, b"")
    return name


def _digest(sealed: bytes | None) -> str:
    return hashlib.sha256(sealed or b"").hexdigest()


def _is_inside(key: str) -> bool:
    """Whether a key is of a file that we may have put there."""
    return all(map(files.is_plain_name, key.split("/")))

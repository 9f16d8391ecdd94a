"""An ablation as files: ablation.json and its figure, whole or not at all."""

import pathlib

from jaxneurons.ablation.result import Ablation
from jaxneurons.disk import files, strict_json

NAME = "ablation"
WHAT = "an ablation"


def refuse_taken(folder: pathlib.Path) -> None:
    """Raises OutputExistsError where something is, before hours of work and not after; imports what draws."""
    import jaxneurons.figures  # noqa: F401  its import checks Matplotlib

    files.refuse_existing(folder, WHAT)


def write(found: Ablation, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes a new directory and gives its files; raises as `files.partial_directory`."""
    from jaxneurons.figures import ablation, style

    content = found.to_json()
    with files.partial_directory(folder, WHAT) as partial:
        path = partial / f"{NAME}.json"
        files.write_atomically(path, strict_json.to_bytes(content))
        drawn = ablation.losses(content)
        for suffix in ("png", "svg"):
            path = partial / f"{NAME}.{suffix}"
            files.write_atomically(path, style.render(drawn, suffix))
    return sorted(folder.iterdir())

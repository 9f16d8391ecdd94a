"""The embedded models, and real text by domain; README.md says where they come from.

Two are trained: the default, on text cut into index cards, and one on running text. The third is planted: its weights
are set by hand so that a study of the text has every finding.
"""

import pathlib

_FOLDER = pathlib.Path(__file__).parent

DEFAULT = "opt-0.3m"
RUNNING_TEXT = "opt-1.9m"
PLANTED = "planted"
# Titles in all output, by name.
_TITLES = {
    DEFAULT: DEFAULT,
    RUNNING_TEXT: RUNNING_TEXT,
    PLANTED: "planted (set by hand, not trained)",
}


def directory(name: str) -> pathlib.Path:
    """An embedded model, in Hugging Face format."""
    return _FOLDER / name


def embedded(name: str | None) -> tuple[str, pathlib.Path] | None:
    """Title and directory of the embedded model that a user means, by None the default; None for all others."""
    name = DEFAULT if name is None else name
    return (_TITLES[name], directory(name)) if name in _TITLES else None


def sources(model: str) -> list[tuple[str, pathlib.Path]]:
    """Name and file of each domain's text that a model is studied on unless told otherwise."""
    folder = "cards" if model == DEFAULT else "text"
    files = sorted((_FOLDER / folder).glob("*.jsonl.gz"))
    return [(file.name.removesuffix(".jsonl.gz"), file) for file in files]

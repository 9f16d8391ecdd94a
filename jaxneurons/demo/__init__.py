"""The embedded models, and real text by domain; README.md says where they come from.

Two are trained: one with a penalty on activations, which has token detectors and is studied by default, and one without.
The third is planted: its weights are set by hand so that a study of the text has every finding.
"""

import pathlib

_FOLDER = pathlib.Path(__file__).parent

DEFAULT = "opt-0.2m"
TRAINED = "opt-1.9m"
PLANTED = "planted"
# Of the text, where both it and the model are the default: a byte each.
TOKENS = 240_000
# By what a user calls it: what all that a study of it writes calls it.
_TITLES = {
    DEFAULT: DEFAULT,
    TRAINED: TRAINED,
    PLANTED: "planted (set by hand, not trained)",
}


def directory(name: str = DEFAULT) -> pathlib.Path:
    """An embedded model, in Hugging Face format."""
    return _FOLDER / name


def embedded(name: str) -> tuple[str, pathlib.Path] | None:
    """Title and directory of the embedded model that a user means, by "" the default; None for all others."""
    name = name or DEFAULT
    return (_TITLES[name], directory(name)) if name in _TITLES else None


def sources() -> list[tuple[str, pathlib.Path]]:
    """Name and file of each domain's text, by name."""
    files = sorted((_FOLDER / "text").glob("*.jsonl.gz"))
    return [(file.name.removesuffix(".jsonl.gz"), file) for file in files]

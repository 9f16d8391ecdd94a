"""The embedded models, and real text by domain; README.md says where they come from.

Two are trained: the default, which has token detectors, and one that has positional neurons. The third is planted:
its weights are set by hand so that a study of the text has every finding.
"""

import pathlib

_FOLDER = pathlib.Path(__file__).parent

DEFAULT = "opt-0.2m"
POSITIONAL = "opt-1.9m"
PLANTED = "planted"
# Tokens that a study of the default model reads of the text.
DEFAULT_TOKENS = 240_000
# Titles in all output, by name.
_TITLES = {
    DEFAULT: DEFAULT,
    POSITIONAL: POSITIONAL,
    PLANTED: "planted (set by hand, not trained)",
}


def directory(name: str) -> pathlib.Path:
    """An embedded model, in Hugging Face format."""
    return _FOLDER / name


def embedded(name: str | None) -> tuple[str, pathlib.Path] | None:
    """Title and directory of the embedded model that a user means, by None the default; None for all others."""
    name = DEFAULT if name is None else name
    return (_TITLES[name], directory(name)) if name in _TITLES else None


def most_tokens(model: str | None) -> int | None:
    """How many tokens of the text a study of a model reads, unless it is told; None is all."""
    return DEFAULT_TOKENS if model in (None, DEFAULT) else None


def sources() -> list[tuple[str, pathlib.Path]]:
    """Name and file of each domain's text, by name."""
    files = sorted((_FOLDER / "text").glob("*.jsonl.gz"))
    return [(file.name.removesuffix(".jsonl.gz"), file) for file in files]

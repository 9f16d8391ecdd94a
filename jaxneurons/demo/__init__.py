"""The embedded default: a small trained OPT model and real text by domain; README.md says where they come from.

Beside it there is a planted model, whose weights are set by hand so that a study of the text has every finding.
"""

import pathlib

_FOLDER = pathlib.Path(__file__).parent

MODEL_NAME = "opt-1.9m"
# What a user calls the planted model, and what all that a study of it writes calls it.
PLANTED = "planted"
_PLANTED_TITLE = "planted (set by hand, not trained)"


def model_directory() -> pathlib.Path:
    """The model, in Hugging Face format."""
    return _FOLDER / "model"


def planted_directory() -> pathlib.Path:
    """The planted model, in Hugging Face format."""
    return _FOLDER / PLANTED


def embedded(name: str) -> tuple[str, pathlib.Path] | None:
    """Title and directory of the model that a user means by "", or of the planted one; None for all others."""
    if name == "":
        return MODEL_NAME, model_directory()
    if name == PLANTED:
        return _PLANTED_TITLE, planted_directory()
    return None


def sources() -> list[tuple[str, pathlib.Path]]:
    """Name and file of each domain's text, by name."""
    files = sorted((_FOLDER / "text").glob("*.jsonl.gz"))
    return [(file.name.removesuffix(".jsonl.gz"), file) for file in files]

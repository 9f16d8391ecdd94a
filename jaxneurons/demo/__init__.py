"""The embedded default: a small trained OPT model and real text by domain; README.md says where they come from."""

import pathlib

_FOLDER = pathlib.Path(__file__).parent

MODEL_NAME = "opt-1.9m"


def model_directory() -> pathlib.Path:
    """The model, in Hugging Face format."""
    return _FOLDER / "model"


def sources() -> list[tuple[str, pathlib.Path]]:
    """Name and file of each domain's text, by name."""
    files = sorted((_FOLDER / "text").glob("*.jsonl.gz"))
    return [(file.name.removesuffix(".jsonl.gz"), file) for file in files]

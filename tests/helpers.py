"""What several tests need: the folder of shared models and texts, where there is one."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def shared_path(*parts: str) -> pathlib.Path:
    """A path below the shared folder beside the checkout; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} in a folder `shared` beside the checkout")
    return path

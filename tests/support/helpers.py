"""What several tests need: the folder of shared models and texts, where there is one, and scripts as a user runs them."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support import forked

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"


def shared_path(*parts: str) -> pathlib.Path:
    """A path below the shared folder beside the checkout; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {'/'.join(parts)} in a folder `shared` beside the checkout")
    return path


def run_script(cache, name, *arguments, **variables):
    """Runs a script in a process of its own and returns it finished.

    With variables in its environment it starts as a user's does. Otherwise what it imports is there already.
    """
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAXNEURONS_CACHE": str(cache),
        **variables,
    }
    command = [f"scripts/{name}.py", *map(str, arguments)]
    if not variables:
        return forked.run_main(command, REPOSITORY, environment)
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_python(program, *arguments):
    """Runs a program in a process of its own, which must succeed; gives what it printed."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

"""What is built from this checkout works from elsewhere, as commands of their own names."""

import pathlib
import site
import subprocess
import sys
import tarfile
import tomllib
import venv

import pytest

from tests.support.helpers import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
# Of the scripts, what only developers use.
# It builds and installs.
pytestmark = pytest.mark.campaign
NOT_INSTALLED = {"random_store"}
VENV_SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def test_every_script_is_a_command():
    scripts = {path.stem for path in (REPOSITORY / "scripts").glob("[!_]*.py")}
    targets = {name.split(":")[0] for name in PROJECT["scripts"].values()}
    assert targets == {
        f"jaxneurons.scripts.{script}" for script in scripts - NOT_INSTALLED
    }


def run(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
    """What a command prints, run without this checkout on Python's path."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    options = ["--no-isolation", f"--outdir={folder}"]
    run(sys.executable, "-m", "build", *options, REPOSITORY, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The commands of an environment that has the wheel, and this one's packages for the rest."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    # A path in a .pth file is searched last, and .pth files of its own, such as that of a checkout, are not read.
    packages = "\n".join(site.getsitepackages())
    (folder / VENV_SITE / "dependencies.pth").write_text(packages)
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "bin"


def test_the_source_archive_holds_what_a_developer_needs(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"BUILD.md", "tests/conftest.py", "scripts/tour.ipynb", ".ci/run"} <= names


def test_the_long_description_has_no_link_into_the_checkout(installed, tmp_path):
    program = (
        "import importlib.metadata\n"
        "print(importlib.metadata.metadata('jaxneurons').get_payload())"
    )
    text = run(installed / "python", "-c", program, cwd=tmp_path)
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links and all(link.startswith(("https://", "#")) for link in links)


def test_the_commands_work_from_elsewhere(installed, tmp_path):
    for name in PROJECT["scripts"]:
        text = run(installed / name, "--help", cwd=tmp_path)
        assert name in text and "python scripts/" not in text
    flags = ["--max_tokens=2000", "--window=64", "--layers=0:0", "--nongrams"]
    run(installed / "jaxneurons-study", "--study=demo", *flags, cwd=tmp_path)
    run(installed / "jaxneurons-figures", "--study=demo", "--out=drawn", cwd=tmp_path)
    assert list((tmp_path / "drawn").glob("*.svg"))


def test_the_package_is_the_installed_one_and_typed(installed, tmp_path):
    program = (
        "import jaxneurons, pathlib\n"
        "folder = pathlib.Path(jaxneurons.__file__).parent\n"
        "print(folder, (folder / 'py.typed').is_file(), jaxneurons.__version__)\n"
        "assert all(getattr(jaxneurons, name) for name in jaxneurons.__all__)"
    )
    folder, typed, version = run(
        installed / "python", "-c", program, cwd=tmp_path
    ).split()
    assert pathlib.Path(folder).is_relative_to(installed.parent)
    assert (typed, version) == ("True", PROJECT["version"])

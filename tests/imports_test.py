"""Imports go one way, as the data flows: every import statement is read and held against the rules below."""

import ast
import graphlib
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# A module belongs to the first group whose pattern its name begins with, else to "ground".
GROUPS = {
    "model": r"jaxneurons\.(attention|layer_norm|block|embed)\b",
    "store": r"jaxneurons\.store",
    "text": r"jaxneurons\.(corpus|documents|text_|token_|windows)",
    "devices": r"jaxneurons\.devices\b",
    "counting": r"jaxneurons\.(reductions|ngram|packed_bits)",
    "loop": r"jaxneurons\.(stream|executables|hidden|batch_file)\b",
    "stats": r"jaxneurons\.stats\b",
    "figures": r"jaxneurons\.figures\b",
    "run": r"jaxneurons\.(run|passes|settings|memory_plan|study_beginning)\b",
    "study": r"jaxneurons\.study",
    "analysis": r"jaxneurons\.analysis\b",
    "benchmark": r"jaxneurons\.(benchmark|gpu_check)\b",
    "training": r"jaxneurons\.training\b",
    "command": r"jaxneurons\.(command|compilation_cache)\b",
    "convert": r"convert\b",
    "scripts": r"scripts\b",
    "errors": r"jaxneurons\.errors\b",
}
# What a group may import of this project, besides itself and the errors.
PROJECT = {
    "errors": "",
    "ground": "",
    "model": "ground",
    "store": "ground model",
    "text": "ground",
    "devices": "",
    "counting": "devices",
    "loop": "ground model store text devices counting",
    "stats": "",
    "figures": "",
    "study": "ground",
    "analysis": "ground store stats figures study",
    "run": "ground model store text devices counting loop stats study analysis",
    "training": "ground model store text figures",
    "benchmark": "ground model store text devices counting loop",
    "command": "ground",
    "convert": "ground store benchmark",
    "scripts": "ground model store text stats study analysis run training benchmark command convert",
}
# Which groups may import a package of others, or which modules where a whole group would be too much.
PACKAGES = {
    "absl": "command scripts training",
    "chex": "model counting loop training",
    "flax": "model jaxneurons.store training benchmark convert",
    "huggingface_hub": "convert",
    "jax": "model devices counting loop run training benchmark jaxneurons.compilation_cache",
    "matplotlib": "figures",
    "ml_dtypes": "store convert",
    "numpy": "ground store text devices counting loop stats figures study analysis run training benchmark convert",
    "optax": "training",
    "orbax": "training",
    "safetensors": "convert",
    "tensorstore": "jaxneurons.arrays jaxneurons.store jaxneurons.study_array",
    "tokenizers": "jaxneurons.corpus training convert",
    "torch": "convert",
    "tqdm": "jaxneurons.progress",
    "transformers": "jaxneurons.corpus training convert",
    "xxhash": "jaxneurons.arrays",
}


def _sources() -> dict[str, str]:
    folders = ("jaxneurons", "convert", "scripts")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {_module_name(path): path.read_text("utf-8") for path in paths}


def _module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = _sources()


def test_there_is_something_to_check():
    assert {"jaxneurons.store", "jaxneurons.stats.activation", "convert.opt"} <= set(
        SOURCES
    )


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports_follow_the_rules(module):
    assert violations(module, SOURCES[module]) == []


def test_modules_form_no_cycle():
    edges = {
        module: {found for found in imports(module, source) if found in SOURCES}
        for module, source in SOURCES.items()
    }
    # A package and a module of it are no cycle: a package's own file imports nothing here.
    assert list(graphlib.TopologicalSorter(edges).static_order())


def test_a_cycle_would_be_seen():
    edges = {"a": imports("a", "import b"), "b": imports("b", "import a")}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(edges).static_order())


WRONG = [
    ("jaxneurons.stats.new", "import jax"),
    ("jaxneurons.stats.new", "import jax.numpy as jnp"),
    ("jaxneurons.stats.new", "from jaxneurons import files"),
    ("jaxneurons.stats.new", "from jaxneurons.study import Study"),
    ("jaxneurons.figures.new", "from jaxneurons.stats import activation"),
    ("jaxneurons.figures.new", "from matplotlib import pyplot"),
    ("jaxneurons.figures.new", "import matplotlib.pyplot as plt"),
    ("jaxneurons.reductions", "from jaxneurons import store"),
    ("jaxneurons.ngrams", "from jaxneurons import config"),
    ("jaxneurons.block", "from jaxneurons import store"),
    ("jaxneurons.errors", "from jaxneurons import files"),
    ("jaxneurons.config", "import jax"),
    ("jaxneurons.brand_new", "from jaxneurons import block"),
    ("jaxneurons.run", "from convert import cached"),
    ("jaxneurons.run", "def f():\n    import torch"),
    ("jaxneurons.corpus", "import torch"),
    ("jaxneurons.training.new", "import safetensors.numpy"),
    ("jaxneurons.windows", "import transformers"),
    ("jaxneurons.stream", "if True:\n    from jaxneurons import study"),
    ("jaxneurons.study", "from jaxneurons.stats import activation"),
    ("jaxneurons.analysis.new", "import jax"),
    ("jaxneurons.training.new", "from jaxneurons import study"),
    ("jaxneurons.run", "import scripts.study"),
    ("convert.opt", "from jaxneurons import run"),
    ("convert.opt", "import sklearn"),
    ("scripts.new", "import jax"),
    ("jaxneurons.run", "from . import study"),
]
RIGHT = [
    (
        "jaxneurons.stats.new",
        "import numpy as np\nfrom jaxneurons.stats import activation",
    ),
    ("jaxneurons.figures.new", "from jaxneurons.figures import style\nimport math"),
    ("jaxneurons.run", "from jaxneurons import study, stream"),
    ("convert.new", "import torch\nfrom jaxneurons import errors, store"),
    ("scripts.new", "from convert import opt\nfrom jaxneurons import command"),
]


@pytest.mark.parametrize(("module", "source"), WRONG)
def test_a_wrong_import_would_be_seen(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), RIGHT)
def test_a_right_import_passes(module, source):
    assert violations(module, source) == []


def violations(module: str, source: str) -> list[str]:
    """What a module imports though its group may not."""
    return [
        f"{module} ({group_of(module)}) imports {found}"
        for found in sorted(imports(module, source))
        if not is_allowed(module, found)
    ]


def imports(module: str, source: str) -> set[str]:
    """Modules that a source imports anywhere in it, the project's by their full names."""
    return {
        found
        for node in ast.walk(ast.parse(source))
        for found in _imported(node)
        if found != module
    }


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            # Of `from a import b`, b is a module of the package a, or a name in the module a.
            inner = f"{node.module}.{alias.name}"
            if node.level:
                yield "." * node.level + alias.name
            elif inner in SOURCES or inner == "matplotlib.pyplot":
                yield inner
            else:
                yield node.module or ""


def is_allowed(module: str, found: str) -> bool:
    """Whether a module may import another."""
    package = found.partition(".")[0]
    group = group_of(module)
    if package in ("jaxneurons", "convert", "scripts"):
        # A package's own `__init__`, imported on the way to its modules, does nothing.
        wanted = group_of(found)
        return wanted in (group, "errors", *PROJECT[group].split())
    if found.startswith("matplotlib.pyplot"):
        # Its global state would tie figures to one thread and one backend.
        return False
    if package in sys.stdlib_module_names:
        return True
    return bool({group, module} & set(PACKAGES.get(package, "").split()))


def group_of(module: str) -> str:
    """The group of a module."""
    return next((g for g, p in GROUPS.items() if re.match(p, module)), "ground")

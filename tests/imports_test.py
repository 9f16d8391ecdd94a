"""Imports go one way, as the data flows: which folder may import which, and who may import which package."""

import ast
import graphlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
# What a folder may import of this project besides itself; "root" is the files directly in `jaxneurons/`.
FOLDERS = {
    "root": "",
    "demo": "",
    "disk": "root",
    "command": "root disk text",
    "text": "root disk",
    "model": "root",
    "store": "root disk model",
    "counting": "root",
    "stream": "root disk text model store counting",
    "studies": "root disk text",
    "stats": "root counting",
    # A Matplotlib that cannot be imported is a foreseen fault.
    "figures": "root",
    "analysis": "root disk command store counting studies stats figures",
    "explorer": "root disk command studies analysis",
    "convert": "root disk text store",
    "run": "root demo disk command text model store counting stream studies stats analysis training convert",
    "ablation": "root disk command text model counting stream studies figures run",
    # A given tokenizer is in a model's form.
    "training": "root disk command text model store figures convert",
    "benchmark": "root demo disk command text model store counting stream run training convert",
    "scripts": "root demo disk command text model store stats studies analysis explorer run ablation training benchmark "
    "convert",
}
# Which folders may import a package of others; what is not listed nobody may.
PACKAGES = {
    "absl": "command scripts analysis run training",
    "chex": "model counting stream training",
    "flax": "model store training benchmark convert",
    "huggingface_hub": "convert",
    "jax": "root command model counting stream run ablation training benchmark",
    "lazy_loader": "root counting",
    "matplotlib": "figures",
    "ml_dtypes": "store convert",
    "numpy": "root disk text store counting stream stats figures studies analysis explorer run ablation training "
    "benchmark convert",
    "optax": "training",
    "orbax": "training",
    "pandas": "studies",
    "safetensors": "convert",
    "tensorstore": "disk store studies",
    "tokenizers": "text training convert",
    "torch": "convert benchmark",
    "tqdm": "command",
    "transformers": "convert benchmark",
    "xarray": "studies",
    "xxhash": "disk",
    "zarr": "studies",
}


def folder_of(module: str) -> str:
    """The folder of a module of this project."""
    parts = module.split(".")
    if parts[0] != "jaxneurons":
        return parts[0]
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else "root"


def imports(source: str) -> Iterator[str]:
    """Every module that a source names: in an import anywhere in it, or as a string to import later."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(
            r"(jaxneurons|convert|scripts)(\.\w+)+", str(node.value)
        ):
            yield str(node.value)


def violations(module: str, source: str) -> list[str]:
    """What a module imports and may not."""
    folder = folder_of(module)
    wrong = []
    for name in imports(source):
        package = name.partition(".")[0]
        if package in ("jaxneurons", "convert", "scripts"):
            allowed = folder_of(name) in (folder, *FOLDERS[folder].split())
        else:
            allowed = package in sys.stdlib_module_names or folder in PACKAGES.get(
                package, ""
            ).split(" ")
        if not allowed:
            wrong.append(f"{module} imports {name}")
    return wrong


def sources() -> dict[str, str]:
    paths = [
        path
        for folder in ("jaxneurons", "convert", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    ]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text("utf-8")
        for path in paths
    }


def test_every_import_is_one_that_its_folder_may_make():
    found = [
        wrong for name, text in sources().items() for wrong in violations(name, text)
    ]
    assert found == []


def test_folders_form_no_circle():
    edges = {folder: allowed.split() for folder, allowed in FOLDERS.items()}
    assert list(graphlib.TopologicalSorter(edges).static_order())


def test_a_wrong_import_is_seen_wherever_it_hides():
    assert violations("jaxneurons.stats.new", "def f():\n    import jax")
    assert violations("jaxneurons.model.new", "from jaxneurons.store import reading")
    assert violations("convert.new", 'peer = "jaxneurons.benchmark.peers"')
    assert violations("jaxneurons.run.new", 'entry = "scripts.study"')
    assert violations("jaxneurons.text.new", "import pandas")
    assert not violations("jaxneurons.stream.new", "from jaxneurons.model import block")


def test_the_top_folder_holds_at_most_ten_files():
    assert len(list((ROOT / "jaxneurons").glob("*.py"))) <= 10


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'jax', 'numpy', 'tensorstore', 'matplotlib', 'transformers', 'pandas'}"
    program = f"import sys, jaxneurons; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

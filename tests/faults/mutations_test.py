"""Any byte of a store or a study changed, cut off or added: found on reading, or without effect.

The mutants are read in a process of its own: one that crashed would be noticed.
"""

import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from flax import traverse_util

from jaxneurons import errors
from jaxneurons.store import reading
from jaxneurons.studies import results
from tests.support import cases, dying, planted, studies

Arrays = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store and a finished study of it."""
    folder = tmp_path_factory.mktemp("mutations")
    layers = [planted.layer(planted.fires_on(4 + i)) for i in range(3)]
    stored = planted.write_store(folder / "store", layers)
    source = planted.write_documents(folder / "text.jsonl", [[4, 5, 6, 7]] * 9)
    studies.run_study(folder / "study", stored, [("text", source)], window=8)
    return folder


def read_store(path: pathlib.Path) -> Arrays:
    """Everything that a store holds."""
    model = reading.open_store(path)
    groups = {"embed": model.read_embed()}
    groups |= {
        str(i): model.read_layer(i) for i in range(model.config.num_hidden_layers)
    }
    flat = traverse_util.flatten_dict(groups, sep="/")
    return {name: array.tobytes() for name, array in flat.items()}


def read_study(path: pathlib.Path) -> Arrays:
    """Everything that a study holds which other code reads back."""
    found = results.open_study(path)
    tables = {str(n): found.detectors(n) for n in (1, 2, 3)}
    tables |= {"positional": found.positional(), "neurons": found.neurons()}
    texts = {name: table.to_json().encode() for name, table in tables.items()}
    texts["summary"] = json.dumps(found.summary).encode()
    return {n: a.values.tobytes() for n, a in found.arrays.items()} | texts


# What reads a mutant, and the files that nothing reads back.
KINDS: dict[str, tuple[Callable[[pathlib.Path], Arrays], tuple[str, ...]]] = {
    "store": (read_store, ()),
    "study": (read_study, ("study.log", "figures/*")),
}


@pytest.mark.fault(case=21)
@cases.each("kind", KINDS)
def test_mutants_are_found_or_read_as_before(folder, tmp_path, campaign, kind):
    path = shutil.copytree(folder / kind, tmp_path / kind)
    tries = 500 if campaign else 20
    assert dying.run(_read_mutants, path, kind, tries, tmp_path / "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_bytes())
    assert counts["refused"] > 0.6 * tries
    print(f"case 21: {tries} mutants of a {kind}: {counts}, no other values, no crash")


def _read_mutants(
    path: pathlib.Path, kind: str, tries: int, counts_path: pathlib.Path
) -> None:
    read, unread = KINDS[kind]
    random = np.random.default_rng(0)
    whole = read(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    files = [f for f in files if not any(f.match(pattern) for pattern in unread)]
    counts = {"refused": 0, "without effect": 0}
    for _ in range(tries):
        file = random.choice(files)
        content = file.read_bytes()
        # Another layer's chunk has the same size and a checksum that is right.
        twins = [f for f in files if f.stat().st_size == len(content)]
        _mutate(file, random.choice(twins), random)
        counts[_outcome(read, path, whole)] += 1
        file.write_bytes(content)
    counts_path.write_text(json.dumps(counts))


def _outcome(
    read: Callable[[pathlib.Path], Arrays], path: pathlib.Path, whole: Arrays
) -> str:
    try:
        found = read(path)
    except errors.BadDataError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return "refused"
    assert found == whole
    return "without effect"


def _mutate(
    file: pathlib.Path, other: pathlib.Path, random: np.random.Generator
) -> None:
    """Flips a bit, zeroes a page, cuts off, adds, deletes, or puts another file's content there."""
    content = bytearray(file.read_bytes())
    place = int(random.integers(max(1, len(content))))
    match random.integers(8):
        case 0 | 1 | 2 if content:
            content[place] ^= 1 << int(random.integers(8))
        case 3:
            content[place : place + 4096] = bytes(len(content[place : place + 4096]))
        case 4:
            del content[place:]
        case 5:
            content += content[:place] + b"x"
        case 6:
            content = bytearray(other.read_bytes())
        case _:
            file.unlink()
            return
    file.write_bytes(content)

"""What a study holds: its arrays by name, the vocabulary, and sums that wait for the next pass.

In: results of a layer as the reductions give them. Out: the arrays of architecture.md.
What is no array carries its owner, a digest of the study and of the layer: a file of another one is not read.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons import errors
from jaxneurons.disk import arrays, files, manifest
from jaxneurons.studies import study_manifest
from jaxneurons.studies.study import ArraySpec, Study

ORDERS = (1, 2, 3)
VOCABULARY = "vocabulary.json"
# In an .npz file, the name of the digest of what it belongs to.
OWNER = "owner"

_VOCABULARY = manifest.Format(
    "jaxneurons-vocabulary", 2, errors.StudyError, "run the study again"
)
# Arrays of a study that counts no n-grams too; then no layer of them was asked for.
NGRAM_ARRAYS = ("ngram_coverage", "ngram_activation_count")


def array_specs(most_full_windows: int) -> dict[str, ArraySpec]:
    """The arrays that a study begins with, by name; a position count holds `most_full_windows`."""
    count = ArraySpec(("domain", "layer", "neuron"), "int64")
    bound = ArraySpec(("layer", "neuron"), "float64")
    return {
        "tokens": ArraySpec(("window", "position"), "int32"),
        "window_length": ArraySpec(("window",), "int32"),
        "window_domain": ArraySpec(("window",), "int32"),
        "activation_count": count,
        "special_activation_count": count,
        "position_count": ArraySpec(
            ("domain", "layer", "position", "neuron"),
            "uint16" if most_full_windows < 2**16 else "uint32",
        ),
        "ngram_coverage": ArraySpec(("n", "layer", "neuron"), "int32"),
        "ngram_activation_count": ArraySpec(("n", "layer", "neuron"), "int64"),
        "max_preactivation": bound,
        "min_preactivation": bound,
        "mutual_information": ArraySpec(
            ("domain_or_all", "layer", "neuron"), "float64"
        ),
    }


def save_counts(
    record: Study, layer: int, windows: int, found: Mapping[str, np.ndarray]
) -> None:
    """Keeps a layer's sums over the first so many windows until the pass after has added its own."""
    with files.replacing(_counts_path(record, layer, windows)) as file:
        owner = np.array(owner_of(record, layer, windows))
        np.savez(file, allow_pickle=False, owner=owner, **found)


def read_counts(record: Study, layer: int, windows: int) -> dict[str, np.ndarray]:
    """What `save_counts` kept.

    Raises:
        StudyError: it is missing, damaged or another's.
    """
    path = _counts_path(record, layer, windows)
    return dict(read_arrays(path, owner_of(record, layer, windows)))


def remove_counts(record: Study, but: int) -> None:
    """Removes all that `save_counts` kept, but the sums over the first so many windows."""
    for path in record.partial.glob("counts_*.npz"):
        if not path.name.endswith(f"_{but}.npz"):
            path.unlink()


def domains(record: Study) -> list[dict[str, Any]]:
    """What study.json says of each domain, and its `name`, in the order of the arrays."""
    named = [
        {"name": name, **domain} for name, domain in record.manifest["corpus"].items()
    ]
    return sorted(named, key=lambda domain: domain["index"])


def write_vocabulary(record: Study, pieces: Sequence[str], real: int) -> None:
    """Keeps the text of every id, and how many ids, from 0 on, mean something."""
    entries = {"owner": owner_of(record), "pieces": list(pieces), "real": real}
    content = manifest.seal(_VOCABULARY, entries)
    files.write_atomically(record.path / VOCABULARY, content)


def read_vocabulary(record: Study) -> tuple[list[str], int]:
    """What `write_vocabulary` wrote.

    Raises:
        StudyError: it is missing, damaged or another study's.
        InputOutputError: the operating system refuses.
    """
    file = record.path / VOCABULARY
    try:
        content = files.read_file(file)
    except FileNotFoundError as error:
        raise errors.StudyError(f"{file} is missing; run the study again") from error
    except OSError as error:
        raise files.io_error("read", file, error) from error
    entries = manifest.unseal(_VOCABULARY, content, str(file))
    manifest.check_keys(_VOCABULARY, entries, {"owner", "pieces", "real"}, str(file))
    if entries["owner"] != owner_of(record):
        raise _of_another(file)
    return entries["pieces"], entries["real"]


def read_arrays(
    path: pathlib.Path, wanted_owner: str, prefix: str = ""
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and content of each array of an .npz file whose name begins so, one in memory at a time.

    Raises:
        StudyError: it is missing, damaged or another's.
        InputOutputError: the operating system refuses.
    """
    try:
        # Opened here: NumPy leaves a file that it cannot read open.
        with open(path, "rb") as file, np.load(file) as found:
            if found[OWNER] != wanted_owner:
                raise _of_another(path)
            for name in found.files:
                if name.startswith(prefix) and name != OWNER:
                    yield name, found[name]
    except FileNotFoundError as error:
        raise errors.StudyError(f"{path} is missing; run the study again") from error
    except files.ZIP_DAMAGE as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if files.is_damaged_zip(error):
            raise _damaged(path, error) from error
        raise files.io_error("read", path, error) from error


def owner_of(record: Study, *place: int) -> str:
    """Tells what belongs to this study, and to this place in it, from what was put in its place."""
    identity = {key: record.manifest[key] for key in study_manifest.IDENTITY}
    content = arrays.to_json_bytes({"identity": identity, "place": place})
    return hashlib.sha256(content).hexdigest()


def _damaged(path: pathlib.Path, error: Exception) -> errors.StudyError:
    return errors.StudyError(f"{path} is damaged: {error}; run the study again")


def _of_another(path: pathlib.Path) -> errors.StudyError:
    return errors.StudyError(
        f"{path} belongs to another layer or study; run the study again"
    )


def _counts_path(record: Study, layer: int, windows: int) -> pathlib.Path:
    return record.partial / f"counts_{layer:03d}_{windows}.npz"

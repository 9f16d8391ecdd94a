"""What a study holds: its arrays by name, the vocabulary, and the candidates of each layer until all are joined.

In: results of a layer as the reductions give them. Out: the arrays of architecture.md.
What is no array carries its owner, a digest of the study and of the layer: a file of another one is not read.
"""

import hashlib
import io
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxneurons import arrays, errors, files, manifest, study_manifest
from jaxneurons.study import ArraySpec, Study

ORDERS = (1, 2, 3)
VOCABULARY = "vocabulary.json"

_VOCABULARY = manifest.Format(
    "jaxneurons-vocabulary", 2, errors.StudyError, "run the study again"
)
# Arrays of a study that counts no n-grams too; then no layer of them was asked for.
NGRAM_ARRAYS = ("ngram_coverage", "ngram_activation_count")
CANDIDATE_FIELDS = ("layer", "neuron", "activations", "occurrences", "ngram")


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


def candidate_specs(n: int) -> dict[str, ArraySpec]:
    """The arrays of candidates for n-gram detectors, by name."""
    candidate = f"candidate_{n}"
    return {
        f"{candidate}_{field}": ArraySpec(
            (candidate, f"token_{n}") if field == "ngram" else (candidate,), "int32"
        )
        for field in CANDIDATE_FIELDS
    }


def save_candidates(record: Study, layer: int, found: Mapping[str, np.ndarray]) -> None:
    """Keeps a layer's candidates, arrays by name, until the study is joined; replaces what a killed run left."""
    buffer = io.BytesIO()
    owner = np.array(_owner(record, layer))
    np.savez(buffer, allow_pickle=False, owner=owner, **found)
    files.write_atomically(_candidate_path(record, layer), buffer.getvalue())


def layers_without_candidates(record: Study) -> list[int]:
    """Layers that are done, but whose candidates are missing or damaged."""
    lost = []
    for layer in set(record.done_layers) & set(record.asked_layers):
        try:
            for n in ORDERS:
                for field in CANDIDATE_FIELDS:
                    _read(record, layer, n, field)
        except errors.StudyError:
            lost.append(layer)
    return lost


def join_candidates(record: Study) -> None:
    """Makes the arrays `candidate_{n}_*` out of all layers' candidates, ordered by layer."""
    for n in ORDERS:
        for name, spec in candidate_specs(n).items():
            field = name.removeprefix(f"candidate_{n}_")
            parts = [_read(record, layer, n, field) for layer in record.asked_layers]
            joined = np.concatenate(parts)
            record.create_array(name, joined.shape, spec)
            record.write_array(name, joined)


def save_counts(
    record: Study, layer: int, windows: int, found: Mapping[str, np.ndarray]
) -> None:
    """Keeps a layer's sums over the first so many windows until the pass after has added its own."""
    with files.replacing(_counts_path(record, layer, windows)) as file:
        owner = np.array(_owner(record, layer, windows))
        np.savez(file, allow_pickle=False, owner=owner, **found)


def read_counts(record: Study, layer: int, windows: int) -> dict[str, np.ndarray]:
    """What `save_counts` kept.

    Raises:
        StudyError: it is missing, damaged or another's.
    """
    path = _counts_path(record, layer, windows)
    return _read_arrays(path, _owner(record, layer, windows))


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
    entries = {"owner": _owner(record), "pieces": list(pieces), "real": real}
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
    if entries["owner"] != _owner(record):
        raise _of_another(file)
    return entries["pieces"], entries["real"]


def _read(record: Study, layer: int, n: int, field: str) -> np.ndarray:
    """A field of a layer's candidates, as `save_candidates` kept it."""
    path, owner = _candidate_path(record, layer), _owner(record, layer)
    if field == "layer":
        (neurons,) = _read_arrays(path, owner, [f"candidate_{n}_neuron"]).values()
        return np.full(len(neurons), layer, np.int32)
    (found,) = _read_arrays(path, owner, [f"candidate_{n}_{field}"]).values()
    return found


def _read_arrays(
    path: pathlib.Path, owner: str, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name, if it is the owner's; None reads all."""
    try:
        # Opened here: NumPy leaves a file that it cannot read open.
        with open(path, "rb") as file, np.load(file) as found:
            if found["owner"] != owner:
                raise _of_another(path)
            wanted = names or [name for name in found.files if name != "owner"]
            return {name: found[name] for name in wanted}
    except FileNotFoundError as error:
        raise errors.StudyError(f"{path} is missing; run the study again") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise errors.StudyError(
            f"{path} is damaged: {error}; run the study again"
        ) from error
    except OSError as error:
        raise files.io_error("read", path, error) from error


def _owner(record: Study, *place: int) -> str:
    """Tells what belongs to this study, and to this place in it, from what was put in its place."""
    identity = {key: record.manifest[key] for key in study_manifest.IDENTITY}
    content = arrays.to_json_bytes({"identity": identity, "place": place})
    return hashlib.sha256(content).hexdigest()


def _of_another(path: pathlib.Path) -> errors.StudyError:
    return errors.StudyError(
        f"{path} belongs to another layer or study; run the study again"
    )


def _candidate_path(record: Study, layer: int) -> pathlib.Path:
    return record.partial / f"candidates_{layer:03d}.npz"


def _counts_path(record: Study, layer: int, windows: int) -> pathlib.Path:
    return record.partial / f"counts_{layer:03d}_{windows}.npz"

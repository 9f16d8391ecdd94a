"""What a study holds: its arrays by name, and sums that wait for the next pass.

In: results of a layer as the reductions give them. Out: the arrays that README.md lists.
"""

from collections.abc import Mapping

import numpy as np

from jaxneurons.disk import files
from jaxneurons.studies.array import ArraySpec
from jaxneurons.studies.directory import PARTIAL, Study

# Arrays of a study that counts no n-grams too; then no layer of them was asked for.
NGRAM_ARRAYS = ("ngram_coverage", "ngram_activation_count")
_COUNTS = f"{PARTIAL}/counts_"
EXAMPLES = ("layer", "neuron", "example")


def array_specs(most_full_windows: int, examples: int) -> dict[str, ArraySpec]:
    """The arrays that a study begins with, by name.

    Args:
        most_full_windows: what a position count holds.
        examples: kept for each neuron; arrays of them only where there are any.
    """
    count = ArraySpec(("domain", "layer", "neuron"), "int64")
    of_neuron = ArraySpec(("layer", "neuron"), "float64")
    specs = {
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
        "max_preactivation": of_neuron,
        "min_preactivation": of_neuron,
        "mutual_information": ArraySpec(
            ("domain_or_all", "layer", "neuron"), "float64"
        ),
        "domain_entropy": of_neuron,
    }
    if examples:
        for kind in ("example", "random_example"):
            specs[f"{kind}_value"] = ArraySpec(EXAMPLES, "float32")
            specs[f"{kind}_window"] = ArraySpec(EXAMPLES, "int32")
            specs[f"{kind}_position"] = ArraySpec(EXAMPLES, "int32")
    return specs


def save_counts(
    study: Study, layer: int, windows: int, found: Mapping[str, np.ndarray]
) -> None:
    """Keeps a layer's sums over the first `windows` windows for the next pass to add to."""
    with study.writing(_counts_name(layer, windows)) as file:
        np.savez(file, allow_pickle=False, **found)


def read_counts(study: Study, layer: int, windows: int) -> dict[str, np.ndarray]:
    """What `save_counts` kept.

    Raises:
        StudyError: it is missing, damaged or another study's.
    """
    path = study.verified(_counts_name(layer, windows))
    with files.reading(path) as file, np.load(file) as found:
        return dict(found)


def remove_counts(study: Study, but: int) -> None:
    """Removes all that `save_counts` kept, except the sums over the first `but` windows."""
    for name in list(study.facts.files):
        if name.startswith(_COUNTS) and not name.endswith(f"_{but}.npz"):
            study.remove(name)


def _counts_name(layer: int, windows: int) -> str:
    return f"{_COUNTS}{layer:03d}_{windows}.npz"

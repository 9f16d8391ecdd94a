"""What a page tells of single neurons besides their columns: examples, tokens, triggers, frequency by position."""

import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxneurons.studies import summary
from jaxneurons.studies.directory import Study
from jaxneurons.terms import ORDERS

# Numbers of the frequency by position that a page keeps in all.
POSITIONS = 3_000_000
# Examples that are shown, of those that the study kept: the highest, and others at random.
EXAMPLES = {"example": 16, "random_example": 8}
EXAMPLE_COLUMNS = ("value", "window", "position")

Arrays = dict[str, np.ndarray]


def position_edges(study: Study, detailed: int) -> list[int]:
    """Divides the T positions into ranges of about equal length; fewer neurons leave room for shorter ones.

    Args:
        study: a finished study.
        detailed: the number of neurons that a page has details of.

    Returns:
        The first position of each range, and T.
    """
    positions, domains = study.identity.settings.window, len(study.identity.corpus)
    number = max(1, min(positions, POSITIONS // (detailed * domains)))
    return np.linspace(0, positions, number + 1).astype(int).tolist()


def read(study: Study, layer: int, neurons: np.ndarray, edges: Sequence[int]) -> Arrays:
    """Details of neurons of a layer.

    Args:
        study: a finished study.
        layer: the layer.
        neurons: K of its neurons.
        edges: as `position_edges` gives them.

    Returns:
        Arrays whose first axis is K: `bounds` [K, 2], the least and the largest pre-activation;
        `position_count` [K, domains, ranges]; `ngram_activations` [K, 3]; of examples and of
        promoted and suppressed tokens what the study has, [K, number].
    """
    ends = [study.read_layer(f"{end}_preactivation", layer) for end in ("min", "max")]
    arrays = {
        "bounds": np.stack(ends, axis=1)[neurons],
        "position_count": _position_count(study, layer, neurons, edges[:-1]),
        "ngram_activations": study.read_layer("ngram_activation_count", layer).T[
            neurons
        ],
    }
    for name, number in _of_neurons(study).items():
        arrays[name] = study.read_layer(name, layer)[neurons, :number]
    return arrays


def _of_neurons(study: Study) -> Mapping[str, int | None]:
    """Names of the arrays of examples and projections that the study has; how many elements to keep, None for all."""
    names: dict[str, int | None] = {
        f"{kind}_{column}": number
        for kind, number in EXAMPLES.items()
        for column in EXAMPLE_COLUMNS
    }
    for end in ("promoted", "suppressed"):
        names |= {f"{end}_token": None, f"{end}_projection": None}
    return {
        name: number for name, number in names.items() if name in study.facts.arrays
    }


def _position_count(
    study: Study, layer: int, neurons: np.ndarray, first: Sequence[int]
) -> np.ndarray:
    """int[K, domains, ranges], activations in full windows by range of positions, of which each has its first."""
    count = study.read_layer("position_count", layer)
    # One domain at a time: all of them may be a gigabyte.
    by_domain = [
        np.add.reduceat(each, first, axis=0, dtype=np.uint32)[:, neurons]
        for each in count
    ]
    return np.stack(by_domain).transpose(2, 0, 1)


def triggers(study: Study, chosen: Mapping[int, np.ndarray]) -> dict[int, Arrays]:
    """The triggers of chosen neurons, by layer.

    Args:
        study: a finished study.
        chosen: neurons of each layer, ascending.

    Returns:
        Arrays whose first axis is the layer's M triggers, in the order of their neurons:
        `trigger_neuron`; `trigger_ids` [M, 3], -1 behind the last token;
        `trigger_activations`; `trigger_occurrences`.
    """
    rows = {layer: array.array("q") for layer in chosen}
    for layer, row in _trigger_rows(study, chosen):
        rows[layer].extend(row)
    found = {}
    for layer, numbers in rows.items():
        table = np.array(numbers, np.int64).reshape(-1, 6)
        table = table[np.argsort(table[:, 0], kind="stable")]
        found[layer] = {
            "trigger_neuron": table[:, 0],
            "trigger_ids": table[:, 1:4],
            "trigger_activations": table[:, 4],
            "trigger_occurrences": table[:, 5],
        }
    return found


def _trigger_rows(
    study: Study, chosen: Mapping[int, np.ndarray]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    kept = {layer: frozenset(neurons.tolist()) for layer, neurons in chosen.items()}
    for n in ORDERS if study.identity.settings.ngrams else ():
        for record in summary.read_lines(study.path, summary.detectors_name(n)):
            layer, neuron = record["layer"], record["neuron"]
            if neuron in kept[layer]:
                for trigger in record["triggers"]:
                    ids = (*trigger["ids"], -1, -1)[: len(ORDERS)]
                    counts = trigger["activations"], trigger["occurrences"]
                    yield layer, (neuron, *ids, *counts)

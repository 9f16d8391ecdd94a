"""The neurons to ablate, however they are given: pairs or a table in; checked pairs and triggers out."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxneurons import errors
from jaxneurons.ablation.triggers import Triggers
from jaxneurons.config import Config


class NeuronSet(NamedTuple):
    """Neurons of a model.

    Attributes:
        neurons: int64[N, 2], layer and neuron of each, ascending; at least one.
        triggers: of those that are token detectors.
    """

    neurons: np.ndarray
    triggers: Triggers


def make_set(config: Config, given: Any) -> NeuronSet:
    """The set of pairs (layer, neuron), or of the rows of a table with such columns; a set as it is.

    A column `triggers`, as the tables of detectors have it, gives the triggers of token detectors.

    Raises:
        UsageError: it is no such thing, empty, names a neuron twice, or one that the model has not.
    """
    if isinstance(given, NeuronSet):
        return given
    columns = getattr(given, "columns", ())
    if not len(columns):
        return NeuronSet(check(config, given), {})
    if not {"layer", "neuron"} <= set(columns):
        raise errors.UsageError(
            "the table of neurons has no columns layer and neuron. Pass one that has, or pairs of both."
        )
    neurons = check(config, given[["layer", "neuron"]].to_numpy())
    if "triggers" not in columns:
        return NeuronSet(neurons, {})
    rows = zip(given["layer"], given["neuron"], given["triggers"], strict=True)
    try:
        triggers = {
            (int(layer), int(neuron)): ids
            for layer, neuron, found in rows
            if (ids := [int(one["ids"][0]) for one in found if len(one["ids"]) == 1])
        }
    except (TypeError, KeyError, ValueError) as error:
        raise errors.UsageError(
            "the column triggers is not as the tables of detectors have it. Pass such a table, or leave the column out."
        ) from error
    return NeuronSet(neurons, triggers)


def check(config: Config, given: Iterable[Any]) -> np.ndarray:
    """The pairs as int64[N, 2], ascending; raises as `make_set`."""
    try:
        pairs = np.asarray(given if hasattr(given, "__array__") else list(given))
    except (TypeError, ValueError):
        pairs = np.array(None)
    if pairs.size == 0 and pairs.ndim:
        raise errors.UsageError("there are no neurons to ablate. Choose at least one.")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise errors.UsageError(
            "the neurons are not pairs of integers. Pass (layer, neuron) of each, such as [(0, 12), (3, 7)]."
        )
    _require_in_model(config, pairs)
    unique, times = np.unique(pairs, axis=0, return_counts=True)
    if (times > 1).any():
        first = np.flatnonzero(times > 1)[0]
        layer, neuron = unique[first]
        raise errors.UsageError(
            f"neuron {neuron} of layer {layer} is named {times[first]} times. Name each neuron once."
        )
    return unique.astype(np.int64)


def _require_in_model(config: Config, pairs: np.ndarray) -> None:
    layers, neurons = config.num_hidden_layers, config.ffn_dim
    outside = ((pairs < 0) | (pairs >= [layers, neurons])).any(axis=1)
    if outside.any():
        layer, neuron = pairs[outside][0]
        raise errors.UsageError(
            f"the model has no neuron {neuron} in layer {layer}. Its layers are 0 to {layers - 1}, with neurons "
            f"0 to {neurons - 1} each."
        )

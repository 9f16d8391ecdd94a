"""What was found of every neuron, as arrays of its study: detectors and positional neurons in, a value for each neuron out.

These arrays depend on thresholds, and each analysis writes them anew.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxneurons.stats import position_types
from jaxneurons.studies.array import ArraySpec
from jaxneurons.studies.directory import Study
from jaxneurons.terms import ORDERS

NONE = "none"
OF_NEURON = ("layer", "neuron")
SPECS = {
    "detector": ArraySpec(("n", *OF_NEURON), "int32"),
    "mean_trigger_projection": ArraySpec(OF_NEURON, "float32"),
    "positional_type": ArraySpec(
        OF_NEURON, "int8", flag_meanings=(NONE, *position_types.TYPES)
    ),
    "positional_strength": ArraySpec(
        OF_NEURON, "int8", flag_meanings=(NONE, *position_types.STRENGTHS)
    ),
    "specific": ArraySpec(("domain", *OF_NEURON), "int8"),
}
# These only say something where n-grams were counted.
OF_NGRAMS = ("detector", "mean_trigger_projection")


class Findings:
    """Collects what is found of each neuron.

    Args:
        study: whose neurons they are.
    """

    def __init__(self, study: Study):
        config = study.identity.model.config
        shape = (config.num_hidden_layers, config.ffn_dim)
        self._layers = [*study.asked_layers]
        self._has_ngrams = study.identity.settings.ngrams
        self._arrays: dict[str, np.ndarray] = {
            "detector": np.zeros((len(ORDERS), *shape), np.int32),
            "mean_trigger_projection": np.full(shape, np.nan, np.float32),
            "positional_type": np.zeros(shape, np.int8),
            "positional_strength": np.zeros(shape, np.int8),
            "specific": np.zeros((len(study.identity.corpus), *shape), np.int8),
        }

    def add_detector(self, detector: Mapping[str, Any]) -> None:
        """Notes a detector, a line of `detectors_{n}.jsonl`."""
        place = detector["layer"], detector["neuron"]
        triggers = detector["triggers"]
        order = ORDERS.index(len(triggers[0]["ids"]))
        self._arrays["detector"][order, *place] = len(triggers)
        if "mean_projection" in detector:
            projection = detector["mean_projection"]
            self._arrays["mean_trigger_projection"][place] = projection

    def add_positional(self, record: Mapping[str, Any]) -> None:
        """Notes a positional neuron, a line of `positional.jsonl`."""
        place = record["layer"], record["neuron"]
        for name in ("type", "strength"):
            meanings = SPECS[f"positional_{name}"].flag_meanings or ()
            value = meanings.index(record[name])
            self._arrays[f"positional_{name}"][place] = value

    def add_specific(self, found: np.ndarray) -> None:
        """Notes which neurons are specific to a domain, bool[domain, layer, F] of the layers asked for."""
        self._arrays["specific"][:, self._layers] = found

    def write(self, study: Study) -> None:
        """Writes the arrays into a study, in place of those that are there."""
        for name, spec in SPECS.items():
            array = self._arrays[name]
            counted = self._has_ngrams or name not in OF_NGRAMS
            study.create_array(name, array.shape, spec, counted)
            for layer in study.asked_layers if counted else ():
                study.write_layer(name, layer, array[..., layer, :])

"""A study's activation counts in, section `activation` of summary.json out (paper §3)."""

from typing import Any

from jaxneurons.stats import activation
from jaxneurons.studies.contents import domains
from jaxneurons.studies.study import Study


def summarize(record: Study) -> dict[str, Any]:
    """Dead, certified and alive neurons of every layer asked for."""
    tokens = {domain["name"]: domain["tokens"] for domain in domains(record)}
    layers = [
        activation.summarize_layer(
            layer,
            record.read_layer("activation_count", layer),
            tokens,
            record.read_layer("min_preactivation", layer),
            record.read_layer("max_preactivation", layer),
        )
        for layer in record.asked_layers
    ]
    model_layers = record.manifest["model"]["config"]["num_hidden_layers"]
    return activation.summarize(layers, model_layers, tokens)

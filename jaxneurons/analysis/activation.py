"""A study's activation counts in, section `activation` of summary.json out (paper §3)."""

from typing import Any

from jaxneurons.stats import activation
from jaxneurons.studies.directory import Study


def summarize(study: Study) -> dict[str, Any]:
    """Dead, certified and alive neurons of every layer asked for."""
    config = study.identity.model.config
    tokens = {domain.name: domain.tokens for domain in study.identity.corpus}
    layers = [
        activation.summarize_layer(
            layer,
            study.read_layer("activation_count", layer),
            tokens,
            study.read_layer("min_preactivation", layer),
            study.read_layer("max_preactivation", layer),
            config.can_certify,
        )
        for layer in study.asked_layers
    ]
    return activation.summarize(
        layers, config.num_hidden_layers, tokens, config.activation_function
    )

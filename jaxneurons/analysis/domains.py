"""A study's activation counts in; which neurons are specific to a domain, and their summary, out."""

from typing import Any

import numpy as np

from jaxneurons.stats import domains
from jaxneurons.studies.directory import Study


def find(study: Study, criteria: domains.Criteria) -> np.ndarray:
    """Which neurons of the layers asked for are specific to which domain, bool[domain, layer, F]."""
    tokens = np.array([domain.tokens for domain in study.identity.corpus])
    entropy = np.stack(
        [study.read_layer("domain_entropy", layer) for layer in study.asked_layers]
    )
    frequency = np.stack(
        [
            study.read_layer("activation_count", layer) / tokens[:, None]
            for layer in study.asked_layers
        ],
        axis=1,
    )
    flat = domains.specific(
        entropy.reshape(-1), frequency.reshape(len(tokens), -1), criteria
    )
    return flat.reshape(frequency.shape)


def summarize(
    study: Study, found: np.ndarray, criteria: domains.Criteria
) -> dict[str, Any] | None:
    """Section `domains` of summary.json; None where there is one domain."""
    names = [domain.name for domain in study.identity.corpus]
    return domains.summarize(found, study.asked_layers, names, criteria)

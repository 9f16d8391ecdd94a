"""What a page shows of every neuron of a layer, as arrays."""

import numpy as np

from jaxneurons.studies.directory import Study

# As the page reads the array `certified`.
CERTIFIED = ("no", "dead", "active")


def read(study: Study, layer: int) -> dict[str, np.ndarray]:
    """The columns of a layer; axes are F neurons, after 3 orders of n-grams or the domains where there are these.

    Raises:
        StudyError: an array is missing or damaged.
    """
    dead = study.read_layer("max_preactivation", layer) <= 0
    active = study.read_layer("min_preactivation", layer) > 0
    certified = np.where(
        dead, CERTIFIED.index("dead"), active * CERTIFIED.index("active")
    )
    return {
        "activations": study.read_layer("activation_count", layer),
        "certified": certified,
        "coverage": study.read_layer("ngram_coverage", layer),
        "detector": study.read_layer("detector", layer),
        "mean_trigger_projection": study.read_layer("mean_trigger_projection", layer),
        "mutual_information": study.read_layer("mutual_information", layer)[-1],
        "positional_type": study.read_layer("positional_type", layer),
        "positional_strength": study.read_layer("positional_strength", layer),
        "domain_entropy": study.read_layer("domain_entropy", layer),
        "specific": study.read_layer("specific", layer),
    }

"""What every neuron promotes and suppresses, as arrays of its study: the model's weights in, ten tokens each out.

It depends on no threshold, and takes the time of a product of the weights with the unembedding.
"""

import numpy as np

from jaxneurons import errors
from jaxneurons.command.progress import Progress
from jaxneurons.counting import promoted
from jaxneurons.store.reading import Store
from jaxneurons.studies.array import ArraySpec
from jaxneurons.studies.directory import Study

# Tokens at either end.
RANKS = 10
SPECS = {
    f"{end}_{kind}": ArraySpec(("layer", "neuron", "rank"), dtype)
    for end in ("promoted", "suppressed")
    for kind, dtype in (("token", "int32"), ("projection", "float32"))
}


def is_written(study: Study) -> bool:
    """Whether a study has the arrays."""
    return SPECS.keys() <= study.facts.arrays.keys()


def write(study: Study, real: int, model: Store, progress: Progress) -> None:
    """Writes the arrays `promoted_token`, `suppressed_token`, `promoted_projection` and `suppressed_projection`.

    Args:
        study: where to write.
        real: ids of tokens that mean something, from 0 on.
        model: the model that was studied.
        progress: whose bar moves on by a layer each.

    Raises:
        StoreError: a projection is not finite.
    """
    config = study.identity.model.config
    shape = (config.num_hidden_layers, config.ffn_dim, RANKS)
    for name, spec in SPECS.items():
        study.create_array(name, shape, spec)
    embed = model.read_embed()
    layer_ends = promoted.make_layer_ends(
        embed["token_embedding"][:real],
        embed.get("project_out", {}).get("kernel"),
        RANKS,
    )
    for layer in progress.each(study.asked_layers):
        found = layer_ends(model.read_layer(layer)["feed_forward"]["fc2"]["kernel"])
        if not np.all(found.finite):
            raise errors.StoreError(
                f"{model.location}: in layer {layer} what neuron {np.argmin(found.finite)} writes has a projection on "
                "the vocabulary that is not finite. Its weights, or the embedding, hold NaN or infinity."
            )
        for name in SPECS:
            study.write_layer(name, layer, getattr(found, name))

"""A model's parameters as training holds them: nested dicts, with the layers stacked along a leading axis L.

`{"embed": ..., "layers": ...}`; below these, names are those of a layer store. Stacked layers are
what `jax.lax.scan` runs over: one compiled layer whatever L is.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.model import block, embed
from jaxneurons.training.recipe import Recipe

# Kernels that write to the residual stream.
RESIDUAL_OUTPUTS = ("layers/attention/output/kernel", "layers/feed_forward/fc2/kernel")
_THRESHOLDS = "layers/feed_forward/fc1/bias"


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Paths of all parameters, joined with "/", and their shapes; those of layers begin with L."""
    layers = config.num_hidden_layers
    return {
        **{
            f"embed/{path}": size
            for path, size in embed.parameter_shapes(config).items()
        },
        **{
            f"layers/{path}": (layers, *size)
            for path, size in block.parameter_shapes(config).items()
        },
    }


def initialize(config: Config, key: jax.Array, recipe: Recipe) -> dict[str, Any]:
    """Random parameters, float32, as OPT's before training (Zhang et al. 2022, §2.2) unless the recipe differs.

    Args:
        config: sizes and variant of the model.
        key: random key.
        recipe: only its init_std, token_scale and initial_threshold matter. All other biases are 0,
            and LayerNorms the identity.

    Raises:
        UsageError: a threshold is asked of a model without biases.
    """
    sizes = shapes(config)
    # One draw for all: a kernel each takes seconds to compile.
    ends = np.cumsum([math.prod(shape) for shape in sizes.values()])
    normal = recipe.init_std * jax.random.normal(key, (int(ends[-1]),), jnp.float32)
    flat = {}
    for (path, shape), end in zip(sizes.items(), ends, strict=True):
        if path.endswith("scale"):
            flat[path] = jnp.ones(shape, jnp.float32)
        elif path.endswith("bias"):
            flat[path] = jnp.zeros(shape, jnp.float32)
        else:
            flat[path] = normal[int(end) - math.prod(shape) : int(end)].reshape(shape)
    for path in RESIDUAL_OUTPUTS:
        flat[path] /= math.sqrt(2 * config.num_hidden_layers)
    flat["embed/token_embedding"] *= recipe.token_scale
    if any(recipe.initial_threshold):
        if _THRESHOLDS not in flat:
            raise errors.UsageError(
                "initial_threshold is a bias, and this model has none. Leave it out."
            )
        # LayerNorm gives fc1 D numbers of mean square 1.
        deviation = recipe.init_std * math.sqrt(config.hidden_size)
        thresholds = np.array(recipe.initial_threshold, np.float32)[:, None]
        flat[_THRESHOLDS] -= thresholds * deviation
    return traverse_util.unflatten_dict(flat, sep="/")


def abstract(config: Config, sharding: jax.sharding.Sharding) -> dict[str, Any]:
    """Shapes, types and places of the parameters, float32."""
    flat = {
        path: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
        for path, shape in shapes(config).items()
    }
    return traverse_util.unflatten_dict(flat, sep="/")


def stack(embedding: dict[str, Any], layers: list[dict[str, Any]]) -> dict[str, Any]:
    """The parameters of a model from those of its parts, as a layer store reads them."""
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
    return {"embed": embedding, "layers": stacked}


def store_arrays(parameters: dict[str, Any]) -> dict[str, np.ndarray]:
    """All arrays by their names in a layer store, which has every layer apart."""
    flat = traverse_util.flatten_dict(parameters, sep="/")
    arrays = {}
    for path, leaf in flat.items():
        values = np.asarray(leaf)
        group, _, rest = path.partition("/")
        if group == "embed":
            arrays[path] = values
            continue
        for layer, value in enumerate(values):
            arrays[f"layers/{layer:03d}/{rest}"] = value
    return arrays

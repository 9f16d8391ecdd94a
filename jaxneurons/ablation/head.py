"""What a batch of the residual stream says: the loss of each prediction, the logit of each token, cosines.

In: float[N * B, T, D] on the devices. Out: host arrays [N * B, T]. The logits of one window per device are all
that is ever held of them.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxneurons import devices
from jaxneurons.config import Config
from jaxneurons.model import embed

Parameters = dict[str, Any]
# Arrays of the size of a window's logits that are held at a time.
LOGITS_AT_ONCE = 4


class Predictions(NamedTuple):
    """What the model predicts at each position.

    Attributes:
        loss: float32[B, T], cross-entropy of the next token, in nats; the last position means nothing.
        logit: float32[B, T], of the token that stands at the position itself.
        rank: int32[B, T], of that logit among all; 1 is the highest.
    """

    loss: Any
    logit: Any
    rank: Any


def logits_bytes(config: Config, window: int) -> int:
    """The memory that `predict` takes of each device for logits."""
    return LOGITS_AT_ONCE * 4 * window * config.vocab_size


def predict(
    config: Config, params: Parameters, x: jax.Array, tokens: jax.Array
) -> Predictions:
    """Reads predictions off the residual stream after the last layer, as host arrays.

    Args:
        config: sizes and variant of the model.
        params: those outside the layers, on every device.
        x: float[N * B, T, D].
        tokens: int32[N * B, T], spread as x is.
    """
    found = _predict(config, devices.mesh_of(x), params, x, tokens)
    return jax.tree.map(devices.whole, found)


@functools.partial(jax.jit, static_argnames=("config", "mesh"))
def _predict(
    config: Config, mesh: Mesh, params: Parameters, x: jax.Array, tokens: jax.Array
) -> Predictions:
    def of_window(window: tuple[jax.Array, jax.Array]) -> Predictions:
        x, tokens = window
        logits = embed.logits(config, params, x[None])[0]
        following = jnp.roll(tokens, -1)
        total = jax.nn.logsumexp(logits, axis=-1)
        own = jnp.take_along_axis(logits, tokens[:, None], axis=-1)
        return Predictions(
            total - jnp.take_along_axis(logits, following[:, None], axis=-1)[:, 0],
            own[:, 0],
            1 + jnp.sum(logits > own, axis=-1, dtype=jnp.int32),
        )

    return _on_each_device(
        lambda params, x, tokens: jax.lax.map(of_window, (x, tokens)), mesh
    )(params, x, tokens)


def cosines(
    config: Config, params: Parameters, x: jax.Array, tokens: jax.Array
) -> np.ndarray:
    """Cosine between the residual stream and the unembedding of the token at each position, float32[N * B, T].

    A model with `project_out` reads tokens off the stream through it, so that an unembedding is its product with the
    row of the token. Arguments as for `predict`, but x after any layer.
    """
    return devices.whole(_cosines(config, devices.mesh_of(x), params, x, tokens))


@functools.partial(jax.jit, static_argnames=("config", "mesh"))
def _cosines(
    config: Config, mesh: Mesh, params: Parameters, x: jax.Array, tokens: jax.Array
) -> jax.Array:
    def on_device(params: Parameters, x: jax.Array, tokens: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        read = params["token_embedding"][tokens].astype(jnp.float32)
        if config.has_projections:
            kernel = params["project_out"]["kernel"].astype(jnp.float32)
            read = jnp.einsum("bte,de->btd", read, kernel, precision="highest")
        sizes = jnp.linalg.norm(x, axis=-1) * jnp.linalg.norm(read, axis=-1)
        return jnp.sum(x * read, axis=-1) / jnp.maximum(sizes, jnp.float32(1e-30))

    return _on_each_device(on_device, mesh)(params, x, tokens)


def _on_each_device(function: Any, mesh: Mesh) -> Any:
    """The function of parameters, residual stream and tokens, each device on its own windows.

    So each window is computed by the same program whatever the number of devices.
    """
    part = PartitionSpec(devices.AXIS)
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(), part, part),
        out_specs=part,
        check_vma=False,
    )

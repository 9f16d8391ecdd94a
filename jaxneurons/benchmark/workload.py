"""What is run in a benchmark, the same for everyone who competes: a model's shape and made-up text.

Names and numbers in, NumPy arrays out; weights are random, but neurons are as unequally active as in
a trained model, and tokens as unequally frequent as in text.
"""

import dataclasses

import numpy as np

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.counting import promoted

# The standard deviation of OPT's initial weights.
WEIGHT_SCALE = 0.02
# A neuron's threshold, in standard deviations of its input: from active on half of all tokens to
# active on 3 of 100,000.
HIGHEST_THRESHOLD = 4.0
# Parts that are measured of a block of neurons, not of a layer.
PROMOTED = "promoted tokens"
PROMOTED_PRODUCT = "their product alone"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """A forward pass over text, as `checked` makes it.

    Attributes:
        config: of the model; `num_hidden_layers` of it are run.
        tokens: in all windows together.
        window: T, tokens per window.
        windows_per_batch: B.
        dtype: to compute in.
    """

    config: Config
    tokens: int
    window: int
    windows_per_batch: int
    dtype: str

    @property
    def windows(self) -> int:
        """W, in all batches together."""
        return self.tokens // self.window

    @property
    def batches(self) -> int:
        """How many batches hold all windows."""
        return self.windows // self.windows_per_batch


def checked(
    config: Config,
    *,
    layers: int | None,
    tokens: int,
    window: int,
    windows_per_batch: int,
    dtype: str,
) -> Workload:
    """A workload of `layers` layers, None for all of the model's.

    Raises:
        UsageError: a size that the model cannot have, or tokens that fill no whole batches.
    """
    layers = config.num_hidden_layers if layers is None else layers
    per_batch = window * windows_per_batch
    if not 1 <= layers <= config.num_hidden_layers:
        raise errors.UsageError(
            f"layers is {layers}. Choose 1 to {config.num_hidden_layers}, which the shape has."
        )
    if not 1 <= window <= config.max_position_embeddings:
        raise errors.UsageError(
            f"window is {window}. Choose 1 to {config.max_position_embeddings}, the shape's context."
        )
    if windows_per_batch < 1 or tokens < 1 or tokens % per_batch:
        raise errors.UsageError(
            f"tokens is {tokens}. Choose a multiple of window x windows_per_batch, "
            f"{window} x {windows_per_batch}."
        )
    return Workload(
        config=dataclasses.replace(config, num_hidden_layers=layers),
        tokens=tokens,
        window=window,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
    )


def make_tokens(workload: Workload) -> np.ndarray:
    """Windows int32[W, T]: a begin token, then ordinary ones with Zipf's frequencies."""
    config = workload.config
    ordinary = np.setdiff1d(np.arange(config.vocab_size), config.special_tokens)
    # Zipf's law with Mandelbrot's correction for the commonest words.
    frequency = 1 / (np.arange(len(ordinary)) + 2.7)
    random = np.random.default_rng(0)
    size = (workload.windows, workload.window)
    tokens = random.choice(ordinary, size, p=frequency / frequency.sum())
    tokens[:, 0] = config.document_start_token_id
    return tokens.astype(np.int32)


def make_thresholds(config: Config) -> np.ndarray:
    """What neurons subtract from their input, float32[F], in no order."""
    thresholds = np.linspace(0, HIGHEST_THRESHOLD, config.ffn_dim, dtype=np.float32)
    deviation = np.float32(WEIGHT_SCALE * config.hidden_size**0.5)
    return np.random.default_rng(1).permutation(thresholds) * deviation


def promoted_product(workload: Workload) -> float:
    """Floating-point operations of the product that a block of neurons' promoted tokens are found in."""
    config = workload.config
    width = config.word_embed_proj_dim
    return 2.0 * promoted.NEURONS_PER_BLOCK * width * config.vocab_size


def layer_products(workload: Workload) -> dict[str, float]:
    """Floating-point operations of one layer's matrix products on one batch, by part.

    A causal product over positions counts as half of T x T, whatever an implementation does.
    """
    config = workload.config
    positions = workload.window * workload.windows_per_batch
    return {
        "attention projections": 8.0 * positions * config.hidden_size**2,
        "attention": 2.0 * positions * workload.window * config.hidden_size,
        "feed-forward": 4.0 * positions * config.hidden_size * config.ffn_dim,
    }

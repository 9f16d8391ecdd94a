"""The recipe: every number that decides what a training run computes.

Defaults are those of OPT (Zhang et al. 2022, §2.2), except for the peak of the learning rate and
the lengths, which depend on the size of the model.
"""

import dataclasses
import math

from jaxneurons import errors

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters; hashable, a static argument of the jitted step.

    Attributes:
        steps: number of updates.
        windows_per_step: B, windows per update, over all devices and accumulated parts.
        accumulation: parts of a batch that are computed one after the other.
        learning_rate: its value at the end of the warm-up.
        warmup_steps: updates over which it rises linearly.
        final_share: share of the learning rate that is left after the last update; the fall is
            linear.
        b1, b2, epsilon: Adam's.
        weight_decay: of kernels and embedding tables; biases and LayerNorms have none.
        clip: largest norm of a gradient.
        dropout: rate of both updates of the residual stream; embeddings have none, as in OPT.
        init_std: standard deviation of initial matrices; those that write to the residual stream
            of a model of L layers have 1/sqrt(2 L) of it.
        token_scale: initial standard deviation of token embeddings, as a multiple of init_std.
        initial_threshold: how far initial biases of neurons are below 0, in standard deviations of the
            pre-activation; with 2 about 2 % of a layer are active.
        activation_penalty: weight of what is added to the loss, the sum of the absolute activations of
            all neurons per token.
        dtype: type to compute in; parameters are float32 in any case.
        remat: compute activations again in the backward pass instead of keeping them.
        seed: decides initial parameters, the order of windows and dropout.

    Raises:
        UsageError: a value is out of range.
    """

    steps: int
    windows_per_step: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_share: float = 0.1
    b1: float = 0.9
    b2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.1
    init_std: float = 0.006
    token_scale: float = 1.0
    initial_threshold: float = 0.0
    activation_penalty: float = 0.0
    dtype: str = "float32"
    remat: bool = False
    seed: int = 0

    def __post_init__(self):
        positive = ("learning_rate", "epsilon", "clip", "init_std", "token_scale")
        not_negative = ("weight_decay", "initial_threshold", "activation_penalty")
        rules = (
            (("steps",), "from 1 to 2**31 - 1", lambda value: 1 <= value < 2**31),
            (
                ("windows_per_step", "accumulation"),
                "at least 1",
                lambda value: value >= 1,
            ),
            (positive, "above 0 and finite", lambda value: 0 < value < math.inf),
            (
                ("warmup_steps",),
                f"from 0 to {self.steps}, the number of steps",
                lambda value: 0 <= value <= self.steps,
            ),
            (("final_share",), "from 0 to 1", lambda value: 0 <= value <= 1),
            (
                ("b1", "b2", "dropout"),
                "at least 0 and below 1",
                lambda value: 0 <= value < 1,
            ),
            (
                not_negative,
                "at least 0 and finite",
                lambda value: 0 <= value < math.inf,
            ),
            (("dtype",), f"one of {DTYPES}", lambda value: value in DTYPES),
            (("seed",), "from 0 to 2**31 - 1", lambda value: 0 <= value < 2**31),
        )
        for names, rule, holds in rules:
            for name in names:
                if not holds(value := getattr(self, name)):
                    raise errors.UsageError(f"{name} is {value!r}, but must be {rule}.")
        if self.windows_per_step % self.accumulation:
            raise errors.UsageError(
                f"windows_per_step is {self.windows_per_step}, which is not a multiple of "
                f"accumulation, {self.accumulation}."
            )

    @property
    def precision(self) -> str:
        """Precision of matrix products: true float32, or what the device does with 16-bit operands."""
        return "highest" if self.dtype == "float32" else "default"

"""The recipe: every number that decides what a training run computes.

Defaults are those of OPT (Zhang et al. 2022, §2.2), except for the peak of the learning rate and
the lengths, which depend on the size of the model.
"""

import dataclasses
import math

from jaxneurons import errors

DTYPES = ("float32", "bfloat16")


# What a model's layers may differ in.
_BY_LAYER = ("initial_threshold", "activation_penalty")


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
            pre-activation; with 2 about 2 % of a layer are active. One number for all layers, or one for each.
        activation_penalty: weight of what is added to the loss, the sum of the absolute activations of
            a layer's neurons per token. One number for all layers, or one for each.
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
    initial_threshold: tuple[float, ...] = (0.0,)
    activation_penalty: tuple[float, ...] = (0.0,)
    dtype: str = "float32"
    remat: bool = False
    seed: int = 0

    def __post_init__(self):
        for name in _BY_LAYER:
            # JSON has lists.
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive = ("learning_rate", "epsilon", "clip", "init_std", "token_scale")
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
                ("weight_decay",),
                "at least 0 and finite",
                lambda value: 0 <= value < math.inf,
            ),
            (
                _BY_LAYER,
                "one number or one for each layer, at least 0 and finite",
                lambda values: values and all(0 <= v < math.inf for v in values),
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

    def check_layers(self, layers: int) -> None:
        """Raises UsageError where a value is given for each layer of a model that has another number of them."""
        for name in _BY_LAYER:
            if len(values := getattr(self, name)) not in (1, layers):
                raise errors.UsageError(
                    f"{name} has {len(values)} numbers, but must have one, or one for each of the {layers} layers."
                )

    @property
    def precision(self) -> str:
        """Precision of matrix products: true float32, or what the device does with 16-bit operands."""
        return "highest" if self.dtype == "float32" else "default"

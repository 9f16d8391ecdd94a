"""What a model is: sizes and variant as one frozen, hashable value, and the published sizes of OPT.

`Config` is a static argument of every jitted function and the `config` of a layer store's manifest.
Field names are those of Hugging Face's `OPTConfig` where it has them. No code that runs a model asks which
family it is of; all that differs between OPT, Galactica and GPT-2 is a field here.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors

# Types that weights are stored in, and that a model computes in.
DTYPES = ("float32", "bfloat16", "float16")
# How float32 matrices are multiplied, and JAX's name for it.
PRECISIONS = {
    # Float32 throughout.
    "highest": "highest",
    # The others are for hardware that multiplies shorter types faster. Each number is the sum of two terms of TF32
    # (11 bits each), and three products of terms are added.
    "tf32x3": "TF32_TF32_F32_X3",
    # Two terms of bfloat16 (8 bits each), and three products: less exact than float32.
    "bf16x3": "BF16_BF16_F32_X3",
    # Three terms of bfloat16, and six products.
    "bf16x6": "BF16_BF16_F32_X6",
}
ACTIVATION_FUNCTIONS = ("relu", "gelu", "gelu_new")
POSITIONS = ("learned", "none")
_LARGEST = 2**31 - 1
_SIZES = (
    "vocab_size",
    "hidden_size",
    "ffn_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "word_embed_proj_dim",
)
_TOKENS = (
    "document_start_token_id",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
_SWITCHES = (
    "do_layer_norm_before",
    "remove_final_layer_norm",
    "enable_bias",
    "layer_norm_elementwise_affine",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A decoder whose blocks are attention, a feed-forward network and two LayerNorms: OPT, Galactica, GPT-2.

    Axes as everywhere: D model, F neurons, H heads, K head size, L layers, V vocabulary.

    >>> config = jaxneurons.Config(
    ...     vocab_size=4096,
    ...     hidden_size=128,
    ...     ffn_dim=1024,
    ...     num_hidden_layers=4,
    ...     num_attention_heads=4,
    ... )
    >>> config.head_size
    32

    Attributes:
        vocab_size: V, rows of the embedding table; may exceed the tokenizer's entries.
        hidden_size: D.
        ffn_dim: F, neurons of a layer.
        num_hidden_layers: L.
        num_attention_heads: H; K = D / H.
        max_position_embeddings: the longest context, in tokens.
        word_embed_proj_dim: width of the embedding table; where it differs from D (350m), the model
            has `project_in` and `project_out`.
        do_layer_norm_before: pre-LayerNorm; False is post-LayerNorm (350m), which has no final
            norm.
        remove_final_layer_norm: a pre-LayerNorm model without its final norm; its name in
            Hugging Face's config begins with an underscore.
        enable_bias: whether linear layers have biases.
        layer_norm_elementwise_affine: whether LayerNorms have scale and bias.
        layer_norm_epsilon: what LayerNorms add to the variance.
        activation_function: "relu", "gelu" (the exact erf form) or "gelu_new" (its tanh
            approximation). Any neuron is active where its pre-activation is above 0; one of GELU
            that is not writes a little all the same.
        positions: "learned", or "none" for a model without position embeddings (paper §5.4).
        position_offset: rows of the position table before that of position 0; OPT and Galactica
            have 2 (a fairseq habit), GPT-2 none.
        document_start_token_id: what begins every window and stands between two documents; None if
            the model's own configuration does not say. OPT and Galactica have `</s>` = 2.
        bos_token_id, eos_token_id, pad_token_id: other special tokens, which no document contains;
            None for one that the vocabulary has not.
    """

    vocab_size: int
    hidden_size: int
    ffn_dim: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int = 2048
    word_embed_proj_dim: int = 0
    do_layer_norm_before: bool = True
    remove_final_layer_norm: bool = False
    enable_bias: bool = True
    layer_norm_elementwise_affine: bool = True
    layer_norm_epsilon: float = 1e-5
    activation_function: str = "relu"
    positions: str = "learned"
    position_offset: int = 2
    document_start_token_id: int | None = 2
    bos_token_id: int | None = 2
    eos_token_id: int | None = 2
    pad_token_id: int | None = 1

    def __post_init__(self):
        if self.word_embed_proj_dim == 0:
            object.__setattr__(self, "word_embed_proj_dim", self.hidden_size)
        problems = [*_size_problems(self), *_choice_problems(self)]
        if problems:
            raise errors.ConfigError(
                f"not a model that is supported: {'; '.join(problems)}"
            )

    @property
    def head_size(self) -> int:
        """K = D / H."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_projections(self) -> bool:
        """Whether embeddings are narrower or wider than the residual stream (350m)."""
        return self.word_embed_proj_dim != self.hidden_size

    @property
    def has_final_layer_norm(self) -> bool:
        """Whether a LayerNorm stands between the last layer and the logits."""
        return self.do_layer_norm_before and not self.remove_final_layer_norm

    @property
    def special_tokens(self) -> tuple[int, ...]:
        """Ids that are no text and that no document may contain, ascending; windows add some of them."""
        ids = {getattr(self, name) for name in _TOKENS}
        return tuple(sorted(token for token in ids if token is not None))

    @property
    def can_certify(self) -> bool:
        """Whether weights alone can prove a neuron dead or always active.

        Without any bias in LayerNorm and feed-forward network, each input's negative is an input too, and turns the
        sign of every pre-activation.
        """
        return self.enable_bias or self.layer_norm_elementwise_affine

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Config":
        """The config that `to_json` wrote.

        Raises:
            ConfigError: a field is missing, unknown, or of the wrong type or value.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - fields)
        missing = sorted(fields - set(values))
        if unknown or missing:
            raise errors.ConfigError(
                f"model configuration: unknown fields {unknown}, missing fields {missing}"
            )
        return cls(**values)


def _size_problems(config: Config) -> list[str]:
    problems = [
        f"{name} is {_shown(getattr(config, name))}: expected an integer from {least} to {_LARGEST}"
        for names, least in ((_SIZES, 1), (("position_offset",), 0), (_TOKENS, 0))
        for name in names
        if not (names is _TOKENS and getattr(config, name) is None)
        and not _is_integer(getattr(config, name), least)
    ]
    epsilon = config.layer_norm_epsilon
    if type(epsilon) is not float or not 0 < epsilon < math.inf:
        problems.append(
            f"layer_norm_epsilon is {_shown(epsilon)}: expected a number above 0"
        )
    if not problems and config.hidden_size % config.num_attention_heads:
        problems.append(
            f"hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        )
    return problems


def _choice_problems(config: Config) -> list[str]:
    problems = [
        f"{name} is {_shown(getattr(config, name))}: expected true or false"
        for name in _SWITCHES
        if type(getattr(config, name)) is not bool
    ]
    for name, choices in (
        ("activation_function", ACTIVATION_FUNCTIONS),
        ("positions", POSITIONS),
    ):
        if getattr(config, name) not in choices:
            shown = _shown(getattr(config, name))
            problems.append(f"{name} is {shown}: expected one of {list(choices)}")
    return problems


def _is_integer(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= _LARGEST


def _shown(value: Any) -> str:
    """A value in a message: short, whatever it is."""
    try:
        return repr(value)[:80]
    except ValueError:
        # Python does not write integers of thousands of digits.
        return "an integer too large to write"


def _published(layers: int, heads: int, hidden_size: int, **variant: Any) -> Config:
    return Config(
        vocab_size=50272,
        hidden_size=hidden_size,
        ffn_dim=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        **variant,
    )


# Zhang et al. 2022 (arXiv:2205.01068), Table 1, and the configurations on the Hugging Face hub.
PUBLISHED: Mapping[str, Config] = {
    "opt-125m": _published(12, 12, 768),
    "opt-350m": _published(
        24, 16, 1024, word_embed_proj_dim=512, do_layer_norm_before=False
    ),
    "opt-1.3b": _published(24, 32, 2048),
    "opt-2.7b": _published(32, 32, 2560),
    "opt-6.7b": _published(32, 32, 4096),
    "opt-13b": _published(40, 40, 5120),
    "opt-30b": _published(48, 56, 7168),
    "opt-66b": _published(64, 72, 9216),
}

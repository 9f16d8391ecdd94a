"""What an OPT model is: sizes and variant as one frozen, hashable value, and the published sizes.

`Config` is a static argument of every jitted function and the `config` of a layer store's manifest.
Field names are those of Hugging Face's `OPTConfig` where it has them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors

# Types that weights are stored in, and that a model computes in.
DTYPES = ("float32", "bfloat16", "float16")
ACTIVATION_FUNCTIONS = ("relu", "gelu")
POSITIONS = ("learned", "none")
# OPT keeps two rows of the position table before position 0 (a fairseq habit).
POSITION_OFFSET = 2
LAYER_NORM_EPSILON = 1e-5
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
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_SWITCHES = (
    "do_layer_norm_before",
    "remove_final_layer_norm",
    "enable_bias",
    "layer_norm_elementwise_affine",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """An OPT-class decoder.

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
        activation_function: "relu", or "gelu" (the exact erf form).
        positions: "learned", or "none" for a model without position embeddings (paper §5.4).
        bos_token_id, eos_token_id, pad_token_id: special tokens; OPT begins a text with `</s>` = 2.
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
    activation_function: str = "relu"
    positions: str = "learned"
    bos_token_id: int = 2
    eos_token_id: int = 2
    pad_token_id: int = 1

    def __post_init__(self):
        if self.word_embed_proj_dim == 0:
            object.__setattr__(self, "word_embed_proj_dim", self.hidden_size)
        problems = [*_size_problems(self), *_choice_problems(self)]
        if problems:
            raise errors.ConfigError(f"not an OPT configuration: {'; '.join(problems)}")

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
        """Ids that only windows put into text, ascending: begin, separator and padding."""
        return tuple(sorted({self.bos_token_id, self.eos_token_id, self.pad_token_id}))

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
        for names, least in ((_SIZES, 1), (_TOKENS, 0))
        for name in names
        if type(getattr(config, name)) is not int
        or not least <= getattr(config, name) <= _LARGEST
    ]
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

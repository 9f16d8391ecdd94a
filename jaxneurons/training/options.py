"""The flags of the training scripts: command line in, a `Request` out."""

import dataclasses
import functools
import pathlib
import re
from typing import Any

from absl import flags

from jaxneurons import config, errors
from jaxneurons.command import backend, cache, common_flags, text_flags
from jaxneurons.command.progress import Progress
from jaxneurons.disk import places
from jaxneurons.training.recipe import DTYPES, Recipe
from jaxneurons.training.request import Cadence, Request

# Flags in place of --size: the field of `Config`, a small model's value, and what it is. The small
# model trains at hundreds to thousands of tokens per second on a laptop's processor.
_DIMENSIONS = {
    "layers": ("num_hidden_layers", 4, "number of layers"),
    "hidden_size": ("hidden_size", 192, "width of the residual stream"),
    "ffn_dim": ("ffn_dim", 768, "number of neurons per layer"),
    "heads": ("num_attention_heads", 3, "number of attention heads per layer"),
    "window": (
        "max_position_embeddings",
        256,
        "longest context, which is the number of tokens per window",
    ),
}
_MOST_WARMUP = 100
# Flags of the same name as a field of `Recipe` or `Cadence`, with its default.
_HELP = {
    "windows_per_step": "Number of windows per update, over all devices.",
    "accumulation": "Number of parts of an update's windows that are computed one after the other.",
    "learning_rate": "Learning rate at the end of the warm-up.",
    "final_share": "Share of the learning rate that is left after the last update.",
    "b1": "Adam's decay of the mean of gradients.",
    "b2": "Adam's decay of the mean of squared gradients.",
    "epsilon": "Adam's constant that keeps its divisor from 0.",
    "weight_decay": "Weight decay of kernels and embedding tables; biases and LayerNorms have none.",
    "clip": "Largest norm that a gradient may have.",
    "dropout": "Dropout rate of what each layer adds to the residual stream.",
    "init_std": "Standard deviation of initial matrices; those that write to the residual stream of "
    "a model of L layers have 1/sqrt(2 L) of it.",
    "token_scale": "Initial standard deviation of token embeddings, as a multiple of init_std.",
    "initial_threshold": "How far initial biases of neurons are below 0, in standard deviations of the "
    "pre-activation; with 2 about 2 % of a layer are active. One number for all layers, or one for each, as 2,2,0.",
    "activation_penalty": "Weight of what is added to the loss, the sum of the absolute activations of a "
    "layer's neurons per token. One number for all layers, or one for each.",
    "remat": "Whether to compute activations twice, which takes less memory than keeping them.",
    "seed": "Seed of initial parameters, order of data and dropout.",
    "log_every": "Number of updates between lines of losses.",
    "validate_every": "Number of updates between validations.",
    "checkpoint_every": "Number of updates between checkpoints, of which the last two are kept.",
}

TEXT = text_flags.define("At least one domain is required to train")
OUT = common_flags.required(
    "out", "DIR", "Directory of the training run; an unfinished run there is continued."
)
SIZE = flags.DEFINE_string(
    "size", None, "Published model whose sizes to take, such as opt-125m."
)
for _name, (_, _small, _meaning) in _DIMENSIONS.items():
    _text = f"The model's {_meaning}. Default: that of --size, else {_small}."
    flags.DEFINE_integer(_name, None, _text, 1)
VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size",
    None,
    "Number of rows of the embedding table, and of entries of a tokenizer that is trained. Default: that of "
    "--size, else the number of entries of --tokenizer, else 4096.",
    1,
)
POSITIONS = flags.DEFINE_enum(
    "positions",
    "learned",
    ["learned", "none"],
    "Kind of position embeddings of the model.",
)
LAYER_NORM = flags.DEFINE_enum(
    "layer_norm",
    None,
    ["pre", "post"],
    "Whether LayerNorm comes before or after attention and feed-forward network. Default: as in --size, "
    "else before.",
)
ACTIVATION = flags.DEFINE_enum(
    "activation",
    None,
    config.ACTIVATION_FUNCTIONS,
    "Nonlinearity of the neurons: relu as in OPT, gelu as in Galactica, or gelu_new as in GPT-2, as which "
    "such a model is exported. Default: as in --size, else relu.",
)
TOKENIZER = flags.DEFINE_string(
    "tokenizer",
    None,
    "Directory of the tokenizer to use. Default: one is trained on the text.",
)
STEPS = flags.DEFINE_integer("steps", 2000, "Number of updates in all.")
WARMUP_STEPS = flags.DEFINE_integer(
    "warmup_steps",
    None,
    "Number of updates over which the learning rate rises linearly. Default: 100, or all if there are fewer.",
)
DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    DTYPES,
    "Floating-point type to compute in. Default: float32 on a CPU, bfloat16 on other devices.",
)
VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share",
    0.01,
    "Share of each domain's documents that are held out to validate on.",
)
VALIDATION_WINDOWS = flags.DEFINE_integer(
    "validation_windows", 256, "Largest number of windows to validate on.", 1
)
KEEP = flags.DEFINE_list(
    "keep", [], "Steps whose checkpoints are kept for good, such as 500,1500,3000."
)
CACHE = common_flags.cache()
COMPILATION_CACHE = common_flags.compilation_cache()
DISTRIBUTED = common_flags.distributed()


class _NumbersParser(flags.ArgumentParser):
    """Numbers with commas between them in, a tuple out."""

    syntactic_help = "numbers with commas between them"

    def parse(self, argument: str) -> tuple[float, ...]:
        try:
            return tuple(float(number) for number in argument.split(","))
        except ValueError:
            message = f"{argument!r} is not a list of numbers such as 2e-3,1e-4"
            raise ValueError(message) from None


def _define(kind: type) -> list[str]:
    """Defines the flags of a dataclass that `_HELP` describes; gives their names."""
    definitions = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        tuple: functools.partial(flags.DEFINE, _NumbersParser()),
    }
    described = [field for field in dataclasses.fields(kind) if field.name in _HELP]
    for field in described:
        define: Any = definitions[type(field.default)]
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        define(field.name, default, _HELP[field.name])
    return [field.name for field in described]


_RECIPE = _define(Recipe)
_CADENCE = _define(Cadence)


def start(doing: str) -> Progress:
    """Says what is done and starts JAX; raises UsageError where that cannot start."""
    progress = Progress()
    progress.log_line(doing)
    several = DISTRIBUTED.value == "auto"
    backend.start(COMPILATION_CACHE.value, cache_directory(), several)
    return progress


def cache_directory() -> pathlib.Path:
    """Where things that can be made again are kept."""
    return cache.directory(CACHE.value)


def request() -> Request:
    """What the flags ask for.

    Raises:
        UsageError: a flag has a value that means nothing.
    """
    sources = TEXT.sources()
    if not sources:
        raise errors.UsageError("--corpus=NAME=PATH is required to train")
    published = _published()
    published_vocabulary = published.pop("vocab_size", None)
    return Request(
        sources=tuple(sources),
        out=places.local(OUT.value),
        sizes=_sizes(published),
        recipe=_recipe(),
        vocab_size=VOCAB_SIZE.value or published_vocabulary,
        tokenizer=pathlib.Path(TOKENIZER.value) if TOKENIZER.value else None,
        validation_share=VALIDATION_SHARE.value,
        validation_windows=VALIDATION_WINDOWS.value,
        cadence=Cadence(keep=_parse_steps(KEEP.value), **_given(_CADENCE)),
        cache_directory=cache_directory(),
    )


def _published() -> dict[str, Any]:
    """The fields of the model that --size names."""
    if SIZE.value is None:
        return {}
    if SIZE.value not in config.PUBLISHED:
        raise errors.UsageError(
            f"--size={SIZE.value} is not one of {', '.join(config.PUBLISHED)}."
        )
    return config.PUBLISHED[SIZE.value].to_json()


def _sizes(published: dict[str, Any]) -> dict[str, Any]:
    sizes = dict(published)
    for flag, (field, small, _) in _DIMENSIONS.items():
        sizes[field] = flags.FLAGS[flag].value or published.get(field, small)
    # A width of the embedding table that differs from D is the published size's alone.
    if flags.FLAGS["hidden_size"].value is not None:
        sizes["word_embed_proj_dim"] = sizes["hidden_size"]
    if LAYER_NORM.value is not None:
        sizes["do_layer_norm_before"] = LAYER_NORM.value == "pre"
    if ACTIVATION.value is not None:
        sizes["activation_function"] = ACTIVATION.value
    return sizes | {"positions": POSITIONS.value}


def _recipe() -> Recipe:
    from jaxneurons.training import numerics

    warmup_steps = WARMUP_STEPS.value
    if warmup_steps is None:
        warmup_steps = min(_MOST_WARMUP, STEPS.value)
    return Recipe(
        steps=STEPS.value,
        warmup_steps=warmup_steps,
        dtype=DTYPE.value or numerics.default_dtype(),
        **_given(_RECIPE),
    )


def _given(names: list[str]) -> dict[str, Any]:
    return {name: flags.FLAGS[name].value for name in names}


def _parse_steps(values: list[str]) -> tuple[int, ...]:
    if not all(re.fullmatch("[0-9]{1,10}", value) for value in values):
        raise errors.UsageError(
            f"--keep={','.join(values)} is not a list of steps such as 500,1500,3000."
        )
    return tuple(sorted({int(value) for value in values}))

"""The flags of the training scripts: command line in, a `run.Request` out."""

import pathlib
import re
from typing import TYPE_CHECKING

from absl import flags

from jaxneurons import errors
from jaxneurons.command import backend, cache, common_flags, named_paths, progress

if TYPE_CHECKING:
    from jaxneurons.training import recipe, run

# Flags in place of --size: the field of `Config`, a small model's value, and what it is. The small model
# trains at hundreds to thousands of tokens per second on a laptop's processor.
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

CORPUS = common_flags.corpus("At least one is required to train")
OUT = common_flags.required(
    "out", "DIR", "Directory of the training run; an unfinished run there is continued."
)
SIZE = flags.DEFINE_string(
    "size", None, "Published model whose sizes to take, such as opt-125m."
)
for _name, (_, _small, _meaning) in _DIMENSIONS.items():
    flags.DEFINE_integer(
        _name,
        None,
        f"The model's {_meaning}. Default: that of --size, else {_small}.",
        1,
    )
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
TOKENIZER = flags.DEFINE_string(
    "tokenizer",
    None,
    "Directory of the tokenizer to use. Default: one is trained on the text.",
)
STEPS = flags.DEFINE_integer("steps", 2000, "Number of updates in all.", 1)
WINDOWS_PER_STEP = flags.DEFINE_integer(
    "windows_per_step", 32, "Number of windows per update, over all devices.", 1
)
ACCUMULATION = flags.DEFINE_integer(
    "accumulation",
    1,
    "Number of parts of an update's windows that are computed one after the other.",
    1,
)
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 1e-3, "Learning rate at the end of the warm-up."
)
WARMUP_STEPS = flags.DEFINE_integer(
    "warmup_steps",
    None,
    "Number of updates over which the learning rate rises linearly. Default: 100, or all if there are fewer.",
)
FINAL_SHARE = flags.DEFINE_float(
    "final_share", 0.1, "Share of the learning rate that is left after the last update."
)
B1 = flags.DEFINE_float("b1", 0.9, "Adam's decay of the mean of gradients.")
B2 = flags.DEFINE_float("b2", 0.95, "Adam's decay of the mean of squared gradients.")
EPSILON = flags.DEFINE_float(
    "epsilon", 1e-8, "Adam's constant that keeps its divisor from 0."
)
WEIGHT_DECAY = flags.DEFINE_float(
    "weight_decay",
    0.1,
    "Weight decay of kernels and embedding tables; biases and LayerNorms have none.",
)
CLIP = flags.DEFINE_float("clip", 1.0, "Largest norm that a gradient may have.")
DROPOUT = flags.DEFINE_float(
    "dropout", 0.1, "Dropout rate of what each layer adds to the residual stream."
)
INIT_STD = flags.DEFINE_float(
    "init_std",
    0.006,
    "Standard deviation of initial matrices; those that write to the residual stream of a model of L "
    "layers have 1/sqrt(2 L) of it.",
)
DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    ["float32", "bfloat16"],
    "Floating-point type to compute in. Default: float32 on a CPU, bfloat16 on other devices.",
)
REMAT = flags.DEFINE_bool(
    "remat",
    False,
    "Whether to compute activations twice, which takes less memory than keeping them.",
)
SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of initial parameters, order of data and dropout."
)
VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share",
    0.01,
    "Share of each domain's documents that are held out to validate on.",
)
VALIDATION_WINDOWS = flags.DEFINE_integer(
    "validation_windows", 256, "Largest number of windows to validate on.", 1
)
LOG_EVERY = flags.DEFINE_integer(
    "log_every", 10, "Number of updates between lines of losses."
)
VALIDATE_EVERY = flags.DEFINE_integer(
    "validate_every", 100, "Number of updates between validations."
)
CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every",
    100,
    "Number of updates between checkpoints, of which the last two are kept.",
)
KEEP = flags.DEFINE_list(
    "keep", [], "Steps whose checkpoints are kept for good, such as 500,1500,3000."
)
CACHE = common_flags.cache()
COMPILATION_CACHE = common_flags.compilation_cache()


def start(doing: str) -> None:
    """Says what is done and starts JAX; raises UsageError where that cannot start."""
    progress.Progress().log_line(doing)
    backend.start(COMPILATION_CACHE.value, cache_directory())


def cache_directory() -> pathlib.Path:
    """Where things that can be made again are kept."""
    return cache.directory(CACHE.value)


def request() -> "run.Request":
    """What the flags ask for.

    Raises:
        UsageError: a flag has a value that means nothing.
    """
    from jaxneurons.training import loop, run

    if not CORPUS.value:
        raise errors.UsageError("--corpus=NAME=PATH is required to train")
    published = {} if SIZE.value is None else run.sizes_of(SIZE.value)
    published_vocabulary = published.pop("vocab_size", None)
    return run.Request(
        sources=tuple(named_paths.sources(CORPUS.value)),
        out=pathlib.Path(OUT.value),
        sizes=_sizes(published),
        recipe=_recipe(),
        vocab_size=VOCAB_SIZE.value or published_vocabulary,
        tokenizer=pathlib.Path(TOKENIZER.value) if TOKENIZER.value else None,
        validation_share=VALIDATION_SHARE.value,
        validation_windows=VALIDATION_WINDOWS.value,
        cadence=loop.Cadence(
            log_every=LOG_EVERY.value,
            validate_every=VALIDATE_EVERY.value,
            checkpoint_every=CHECKPOINT_EVERY.value,
            keep=_parse_steps(KEEP.value),
        ),
        cache_directory=cache_directory(),
    )


def _sizes(published: dict) -> dict:
    sizes = dict(published)
    for flag, (field, small, _) in _DIMENSIONS.items():
        sizes[field] = flags.FLAGS[flag].value or published.get(field, small)
    # A width of the embedding table that differs from D is the published size's alone.
    if flags.FLAGS["hidden_size"].value is not None:
        sizes["word_embed_proj_dim"] = sizes["hidden_size"]
    if LAYER_NORM.value is not None:
        sizes["do_layer_norm_before"] = LAYER_NORM.value == "pre"
    return sizes | {"positions": POSITIONS.value}


def _recipe() -> "recipe.Recipe":
    from jaxneurons.training import recipe

    return recipe.Recipe(
        steps=STEPS.value,
        windows_per_step=WINDOWS_PER_STEP.value,
        accumulation=ACCUMULATION.value,
        learning_rate=LEARNING_RATE.value,
        warmup_steps=_warmup_steps(),
        final_share=FINAL_SHARE.value,
        b1=B1.value,
        b2=B2.value,
        epsilon=EPSILON.value,
        weight_decay=WEIGHT_DECAY.value,
        clip=CLIP.value,
        dropout=DROPOUT.value,
        init_std=INIT_STD.value,
        dtype=DTYPE.value or recipe.default_dtype(),
        remat=REMAT.value,
        seed=SEED.value,
    )


def _warmup_steps() -> int:
    if WARMUP_STEPS.value is None:
        return min(_MOST_WARMUP, STEPS.value)
    return WARMUP_STEPS.value


def _parse_steps(values: list[str]) -> tuple[int, ...]:
    if not all(re.fullmatch("[0-9]{1,10}", value) for value in values):
        raise errors.UsageError(
            f"--keep={','.join(values)} is not a list of steps such as 500,1500,3000."
        )
    return tuple(sorted({int(value) for value in values}))

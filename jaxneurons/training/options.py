"""The flags of the training scripts: command line in, a `run.Request` out."""

import pathlib
import re

from absl import flags

from jaxneurons import errors
from jaxneurons.command import cache
from jaxneurons.text import corpus
from jaxneurons.training import loop, run
from jaxneurons.training import recipe as recipes

# What `--size` is short for.
_DIMENSIONS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "ffn_dim": "ffn_dim",
    "heads": "num_attention_heads",
    "window": "max_position_embeddings",
}
# Trains at some hundred to some thousand tokens a second on a laptop's processor.
_SMALL = {"layers": 4, "hidden_size": 192, "ffn_dim": 768, "heads": 3, "window": 256}
_MOST_WARMUP = 100

CORPUS = flags.DEFINE_multi_string(
    "corpus",
    [],
    "NAME=PATH, repeatable: a domain's text, as .txt, .jsonl, .gz of either, or a directory.",
)
OUT = flags.DEFINE_string(
    "out", None, "Directory to write; an unfinished run there goes on.", required=True
)
SIZE = flags.DEFINE_string("size", None, "A published size, such as opt-125m.")
for _name, _small in _SMALL.items():
    flags.DEFINE_integer(
        _name, None, f"Of the model; default: that of --size, else {_small}.", 1
    )
VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size",
    None,
    "Rows of the embedding table and entries of a trained tokenizer; default: that of --size, "
    f"else the entries of --tokenizer, else {run.DEFAULT_VOCAB_SIZE}.",
    1,
)
POSITIONS = flags.DEFINE_enum(
    "positions", "learned", ["learned", "none"], "Position embeddings."
)
LAYER_NORM = flags.DEFINE_enum(
    "layer_norm", None, ["pre", "post"], "Default: that of --size, else pre."
)
TOKENIZER = flags.DEFINE_string(
    "tokenizer", None, "Directory of a tokenizer; default: one is trained on the text."
)
STEPS = flags.DEFINE_integer("steps", 2000, "Updates.", 1)
WINDOWS_PER_STEP = flags.DEFINE_integer(
    "windows_per_step", 32, "Windows of an update, over all devices.", 1
)
ACCUMULATION = flags.DEFINE_integer(
    "accumulation", 1, "Parts of a batch that are run one after the other.", 1
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "At the end of the warm-up.")
WARMUP_STEPS = flags.DEFINE_integer(
    "warmup_steps", None, "Steps of linear warm-up; default: 100, or all if fewer."
)
FINAL_SHARE = flags.DEFINE_float(
    "final_share", 0.1, "Of the learning rate after the last step."
)
B1 = flags.DEFINE_float("b1", 0.9, "Of Adam.")
B2 = flags.DEFINE_float("b2", 0.95, "Of Adam.")
EPSILON = flags.DEFINE_float("epsilon", 1e-8, "Of Adam.")
WEIGHT_DECAY = flags.DEFINE_float(
    "weight_decay", 0.1, "Of kernels and embedding tables, not of biases and norms."
)
CLIP = flags.DEFINE_float("clip", 1.0, "Largest norm of a gradient.")
DROPOUT = flags.DEFINE_float("dropout", 0.1, "Of updates of the residual stream.")
INIT_STD = flags.DEFINE_float(
    "init_std", 0.006, "Of matrices; residual outputs have 1/sqrt(2 L) of it."
)
DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    recipes.DTYPES,
    "To compute in; default: float32 on a CPU, bfloat16 elsewhere.",
)
REMAT = flags.DEFINE_bool(
    "remat", False, "Compute activations twice rather than keep them."
)
SEED = flags.DEFINE_integer("seed", 0, "Of parameters, data order and dropout.")
VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share", 0.01, "Of the documents of each domain, held out."
)
VALIDATION_WINDOWS = flags.DEFINE_integer(
    "validation_windows", 256, "Most windows to validate on.", 1
)
LOG_EVERY = flags.DEFINE_integer("log_every", 10, "Steps between lines of losses.")
VALIDATE_EVERY = flags.DEFINE_integer(
    "validate_every", 100, "Steps between validations."
)
CHECKPOINT_EVERY = flags.DEFINE_integer(
    "checkpoint_every", 100, "Steps between checkpoints, of which the last two stay."
)
KEEP = flags.DEFINE_list(
    "keep", [], "Steps whose checkpoints stay, e.g. 500,1500,3000."
)
CACHE = flags.DEFINE_string("cache", None, "Where tokenized text is kept.")


def cache_directory() -> pathlib.Path:
    """Where things that can be made again are kept."""
    return pathlib.Path(CACHE.value or cache.default_cache_directory())


def request() -> run.Request:
    """What the flags ask for.

    Raises:
        UsageError: a flag has a value that means nothing.
    """
    if not CORPUS.value:
        raise errors.UsageError("no corpus, wanted at least one --corpus=NAME=PATH")
    published = {} if SIZE.value is None else run.sizes_of(SIZE.value)
    published_vocabulary = published.pop("vocab_size", None)
    return run.Request(
        sources=tuple(corpus.parse_sources(CORPUS.value)),
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
    for flag, field in _DIMENSIONS.items():
        given = flags.FLAGS[flag].value
        sizes[field] = given or published.get(field, _SMALL[flag])
    # A width of the embedding table that differs from D is the published size's alone.
    if flags.FLAGS["hidden_size"].value is not None:
        sizes["word_embed_proj_dim"] = sizes["hidden_size"]
    if LAYER_NORM.value is not None:
        sizes["do_layer_norm_before"] = LAYER_NORM.value == "pre"
    return sizes | {"positions": POSITIONS.value}


def _recipe() -> recipes.Recipe:
    return recipes.Recipe(
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
        dtype=DTYPE.value or recipes.default_dtype(),
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
            f"keep {','.join(values)}: wanted steps such as 500,1500,3000"
        )
    return tuple(sorted({int(value) for value in values}))

"""What a user asks for in; out, what decides a study's numbers, checked against the model, and what it may use."""

import dataclasses
import pathlib
import re

from jaxneurons import errors
from jaxneurons.config import DTYPES, Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the numbers of a study, besides model and text; made by `resolve`.

    Attributes:
        window: T, tokens a window.
        first_layer, last_layer: layers to report, both included. Those below the first still run,
            those above the last do not.
        windows_per_batch: B, windows that each device takes at a time.
        dtype: to compute in.
        max_tokens: most tokens of text, over all domains; None is all.
        ngrams: whether n-grams are counted.
    """

    window: int
    first_layer: int
    last_layer: int
    windows_per_batch: int
    dtype: str
    max_tokens: int | None
    ngrams: bool


def resolve(
    config: Config,
    *,
    window: int | None = None,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "float32",
    max_tokens: int | None = None,
    ngrams: bool = True,
) -> Settings:
    """Puts a model's defaults in place of None.

    Args:
        config: of the model.
        window: None is the model's longest context.
        layers: first and last, both included; None is all.
        windows_per_batch: None is as many as make 2,048 tokens, 16,384 on accelerators.
        dtype: "float32", "bfloat16" or "float16".
        max_tokens: None is all.
        ngrams: whether to count n-grams.

    Raises:
        UsageError: a value has no meaning for the model.
    """
    if window is None:
        window = config.max_position_embeddings
    if windows_per_batch is None:
        windows_per_batch = max(1, _tokens_per_batch() // max(1, window))
    if windows_per_batch < 1:
        raise errors.UsageError(
            f"windows_per_batch {windows_per_batch}: wanted at least 1"
        )
    if dtype not in DTYPES:
        raise errors.UsageError(f"dtype {dtype!r}: wanted one of {', '.join(DTYPES)}")
    last_of_model = config.num_hidden_layers - 1
    first, last = layers or (0, last_of_model)
    if not 0 <= first <= last <= last_of_model:
        raise errors.UsageError(
            f"layers {first}:{last}: wanted FIRST:LAST with 0 <= FIRST <= LAST <= "
            f"{last_of_model}, the model's last layer"
        )
    return Settings(
        window=window,
        first_layer=first,
        last_layer=last,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        max_tokens=max_tokens,
        ngrams=ngrams,
    )


def _tokens_per_batch() -> int:
    """What a processor's caches like best (BUILD.md, "Performance notes"); more, not measured yet, elsewhere."""
    import jax

    return 2048 if jax.default_backend() == "cpu" else 16384


def parse_layers(text: str | None) -> tuple[int, int] | None:
    """First and last layer of "FIRST:LAST", both included; None of None.

    Raises:
        UsageError: the text is not two numbers with a colon between.
    """
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,9}):([0-9]{1,9})", text)
    if match is None:
        raise errors.UsageError(f"layers {text!r:.80}: wanted FIRST:LAST, such as 0:5")
    return int(match[1]), int(match[2])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use of the machine; decides no number.

    Attributes:
        device_memory_bytes: most memory of each accelerator, or of the machine where there is none;
            None is what the machine has.
        host_memory_bytes: most memory of the machine, beside what Python and JAX take; None likewise.
        spill_directory: where hidden states are written that no memory holds, and the copies of them
            from which a killed run goes on; None is the study's own.
        checkpoint_every: layers between such copies; 0 makes none, and a resumed run recomputes
            them. Hidden states on disk are their own copy.
        tokens_per_pass: tokens whose hidden states are held at a time; each such pass reads the
            weights again. None is all.
        devices: of this host; None is all.
    """

    device_memory_bytes: int | None = None
    host_memory_bytes: int | None = None
    spill_directory: pathlib.Path | None = None
    checkpoint_every: int = 1
    tokens_per_pass: int | None = None
    devices: int | None = None


def check_passes(settings: Settings, resources: Resources) -> None:
    """Raises UsageError for what can only be counted over all tokens at once, asked for in passes."""
    if settings.ngrams and resources.tokens_per_pass is not None:
        raise errors.UsageError(
            f"tokens_per_pass {resources.tokens_per_pass}: n-grams need all tokens in one pass, since a "
            "neuron's coverage is found from its counts on all of them. Leave one of the two out."
        )

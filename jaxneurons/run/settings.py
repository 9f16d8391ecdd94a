"""What a user asks for in, checked against the model; out, what decides a study's numbers."""

from jaxneurons import errors
from jaxneurons.config import DTYPES, Config
from jaxneurons.studies.settings import Settings


def resolve(
    config: Config,
    *,
    window: int | None = None,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "float32",
    max_tokens: int | None = None,
    ngrams: bool = True,
    examples: int = 16,
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
        examples: windows to keep for each neuron, of each kind; 0 keeps none.

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
    if examples < 0:
        raise errors.UsageError(f"examples {examples}: at least 0 are needed.")
    if dtype not in DTYPES:
        raise errors.UsageError(f"dtype {dtype!r}: wanted one of {', '.join(DTYPES)}")
    first, last = _first_and_last(layers, config.num_hidden_layers - 1)
    return Settings(
        window=window,
        first_layer=first,
        last_layer=last,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        max_tokens=max_tokens,
        ngrams=ngrams,
        examples=examples,
    )


def _first_and_last(
    layers: tuple[int, int] | None, last_of_model: int
) -> tuple[int, int]:
    """The layers to report, all of them for None."""
    if layers is None:
        return 0, last_of_model
    try:
        first, last = layers
    except (TypeError, ValueError):
        raise errors.UsageError(
            f"layers {layers!r}: wanted the first and the last"
        ) from None
    if not 0 <= first <= last <= last_of_model:
        raise errors.UsageError(
            f"layers {first}:{last}: wanted FIRST:LAST with 0 <= FIRST <= LAST <= "
            f"{last_of_model}, the model's last layer"
        )
    return first, last


def _tokens_per_batch() -> int:
    """The fastest number on a CPU (see benchmark/README.md); not measured elsewhere yet."""
    import jax

    return 2048 if jax.default_backend() == "cpu" else 16384

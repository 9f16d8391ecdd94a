"""What a user asks for in, checked against the model; out, what decides a study's numbers."""

from jaxneurons import errors, terms
from jaxneurons.config import DTYPES, PRECISIONS, Config
from jaxneurons.stats import thresholds
from jaxneurons.studies.settings import Settings


def resolve(
    config: Config,
    *,
    window: int | None = None,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "auto",
    precision: str = "highest",
    stored: str = "float32",
    max_tokens: int | None = None,
    ngrams: bool = True,
    examples: int = 16,
    candidate_share: float | str = float(terms.COVERAGE_SHARE),
    candidate_coverage: int = terms.CANDIDATE_COVERAGE,
) -> Settings:
    """Puts a model's defaults in place of None.

    Args:
        config: of the model.
        window: None is the model's longest context.
        layers: first and last, both included; None is all.
        windows_per_batch: None is as many as make 2,048 tokens, 16,384 on accelerators.
        dtype: "float32", "bfloat16", "float16", or "auto": float32 on a CPU, the stored type on
            accelerators.
        precision: one of `config.PRECISIONS`; all but "highest" are for float32.
        stored: the type of the weights on disk.
        max_tokens: None is all.
        ngrams: whether to count n-grams.
        examples: windows to keep for each neuron, of each kind; 0 keeps none.
        candidate_share: the lowest `coverage_share` that detectors may be found at later.
        candidate_coverage: the largest coverage that detectors may have then.

    Raises:
        UsageError: a value has no meaning for the model.
    """
    window = config.max_position_embeddings if window is None else window
    per_batch = _windows_per_batch(windows_per_batch, window)
    if examples < 0:
        raise errors.UsageError(f"examples is {examples}. Pass at least 0.")
    dtype = _dtype(dtype, stored)
    _check_precision(precision, dtype)
    share = _candidate_share(candidate_share, candidate_coverage)
    first, last = _first_and_last(layers, config.num_hidden_layers - 1)
    return Settings(
        window=window,
        first_layer=first,
        last_layer=last,
        windows_per_batch=per_batch,
        dtype=dtype,
        precision=precision,
        max_tokens=max_tokens,
        ngrams=ngrams,
        examples=examples,
        candidate_share=share,
        candidate_coverage=candidate_coverage,
    )


def _dtype(wanted: str, stored: str) -> str:
    if wanted == "auto":
        return "float32" if _on_cpu() else stored
    if wanted not in DTYPES:
        raise errors.UsageError(
            f"dtype is {wanted!r}. Choose one of auto, {', '.join(DTYPES)}."
        )
    return wanted


def _check_precision(precision: str, dtype: str) -> None:
    if precision not in PRECISIONS:
        raise errors.UsageError(
            f"precision is {precision!r}. Choose one of {', '.join(PRECISIONS)}."
        )
    if precision == "highest":
        return
    if dtype != "float32":
        raise errors.UsageError(
            f"precision {precision} is a way to multiply float32, but {dtype} is computed in. Choose float32 or "
            "leave the precision out."
        )
    if _on_cpu():
        raise errors.UsageError(
            f"precision {precision} is for accelerators; a CPU multiplies float32 as it is. Leave the precision out."
        )


def _windows_per_batch(wanted: int | None, window: int) -> int:
    if wanted is None:
        return max(1, _tokens_per_batch() // max(1, window))
    if wanted < 1:
        raise errors.UsageError(f"windows_per_batch is {wanted}. Pass at least 1.")
    return wanted


def _candidate_share(share: float | str, coverage: int) -> float:
    """The share, checked: a study's own detectors are found among its candidates."""
    own = thresholds.Criteria()
    least = max(map(own.most, terms.ORDERS))
    if coverage < least:
        raise errors.UsageError(
            f"candidate_coverage is {coverage}, but detectors may have a coverage of {least}. Pass at least that."
        )
    exact = thresholds.parse_share("candidate_share", share)
    if exact > own.coverage_share:
        raise errors.UsageError(
            f"candidate_share is {share}, but detectors are found at {float(own.coverage_share)}. Pass at most that."
        )
    return float(exact)


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
            f"layers are {layers!r}. Give the first and the last."
        ) from None
    if not 0 <= first <= last <= last_of_model:
        raise errors.UsageError(
            f"layers {first}:{last} are not a range of the model's layers, which are 0 to {last_of_model}. "
            "Give the first and the last of some of them."
        )
    return first, last


def _tokens_per_batch() -> int:
    """The fastest number on a CPU (see benchmark/README.md); not measured elsewhere yet."""
    return 2048 if _on_cpu() else 16384


def _on_cpu() -> bool:
    import jax

    return jax.default_backend() == "cpu"

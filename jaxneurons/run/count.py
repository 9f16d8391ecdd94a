"""A statistic of one's own, counted over a model and text layer by layer."""

from collections.abc import Iterator
from typing import Any

import jax

from jaxneurons import devices, errors, processes
from jaxneurons.command.progress import Progress
from jaxneurons.counting import reductions
from jaxneurons.run import announcement, settings
from jaxneurons.run.models import Model, check_kinds
from jaxneurons.stream import hidden, loop
from jaxneurons.studies.settings import Settings
from jaxneurons.text.windows import Windows


def count(
    model: Model,
    text: Windows,
    reduction: reductions.Reduction,
    *,
    layers: tuple[int, int] | None = None,
    windows_per_batch: int | None = None,
    dtype: str = "auto",
    precision: str = "highest",
    progress: Progress | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Runs text through a model and yields what a reduction found in each layer as it is done.

    >>> firing = jaxneurons.counting.activation_counts(len(text.names), model.config.ffn_dim)
    >>> for layer, found in jaxneurons.count(model, text, firing):
    ...     print(layer, found["activation_count"].shape)
    0 (4, 1024)
    1 (4, 1024)
    2 (4, 1024)
    3 (4, 1024)

    Hidden states stay in the device's memory; for more text than it has room for, `study` keeps
    them elsewhere. Where `jax.distributed` is initialised, every process makes the same call and gets the same.

    Args:
        model: as `open_model` gives it.
        text: as `load_text` gives it.
        reduction: what to count; `chain` makes one of several.
        layers: first and last to count in, both included; None is all. Those below still run.
        windows_per_batch: windows that each device takes at a time; None is about 2,048 tokens,
            16,384 on accelerators.
        dtype: to compute in: "float32", "bfloat16", "float16", or "auto": float32 on a CPU, on
            accelerators the type that the weights are stored in.
        precision: of float32 products: "highest", or "tf32x3", "bf16x3" or "bf16x6", which a GPU
            multiplies faster; `config.PRECISIONS` explains them.
        progress: what reports progress; None shows a bar on a terminal and in a notebook.

    Returns:
        For each layer its index and the host arrays that `reduction.finalize` gives.

    Raises:
        UsageError: a value has no meaning for the model, or an argument is of another kind.
        NotFiniteError: NaN or infinity came up.
    """
    check_kinds(model, text)
    if not isinstance(reduction, reductions.Reduction):
        raise errors.UsageError(
            f"reduction is a {type(reduction).__name__}. Pass a jaxneurons.Reduction, or several as "
            "jaxneurons.chain makes one of them."
        )
    chosen = settings.resolve(
        model.config,
        window=text.tokens.shape[1],
        layers=layers,
        windows_per_batch=windows_per_batch,
        dtype=dtype,
        precision=precision,
        stored=model.store.dtype,
    )
    per_batch = min(chosen.windows_per_batch, len(text.tokens))
    spread = devices.spread(len(text.tokens), per_batch)
    batches = loop.make_batches(text, model.config, spread)
    tokens = loop.batch_tokens(text, spread)
    if not processes.is_first():
        progress = Progress(shown=False)
    return _counted(model, batches, tokens, reduction, chosen, progress or Progress())


def _counted(
    model: Model,
    batches: list[reductions.Batch],
    tokens: list[int],
    reduction: reductions.Reduction,
    chosen: Settings,
    progress: Progress,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What `count` yields; the layers below the first that is asked for count nothing."""
    residual = hidden.Reporting(
        hidden.InMemory(), lambda index: shown.advance(tokens[index])
    )
    first, stop = chosen.first_layer, chosen.last_layer + 1
    with progress as shown:
        shown.log_once(announcement.model(model.name, model.store, chosen))
        shown.start(sum(tokens) * stop, "tokens x layers", "tokens")
        for counted, some in (
            (reductions.chain(), range(first)),
            (reduction, range(first, stop)),
        ):
            for result in loop.run_layers(
                model.store,
                batches,
                counted,
                some,
                residual,
                chosen.dtype,
                chosen.precision,
            ):
                if result.layer >= first:
                    yield result.layer, jax.device_get(result.found)

"""A Hugging Face checkpoint of OPT, Galactica or GPT-2 in, a layer store out, tensor by tensor.

Every key is used, every array of the store is set, every value is finite, and nothing stands under
the store's name unless all of it is well. While two arrays are written, digested and synced, the
next is read, checked and transposed: memory holds a few tensors, never a layer.
"""

import collections
import functools
import os
import pathlib
from collections.abc import Callable, Collection
from concurrent import futures

import numpy as np

from convert import checkpoint as checkpoints
from convert import hf_config, key_map, naming, plan, tokenizer, values
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, places
from jaxneurons.store import format, writing

# While one waits for the disk, another is copied and checked.
WRITTEN_TOGETHER = 2


def convert(
    source_directory: os.PathLike | str,
    store_path: os.PathLike | str | places.Place,
    *,
    dtype: str | None = None,
    allow_nonfinite: bool = False,
    ignore_attributes: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Converts a checkpoint into a new layer store.

    Args:
        source_directory: config, weights and tokenizer in Hugging Face's format.
        store_path: where the store is to be: a local path, gs:// or s3://.
        dtype: "float16", "bfloat16" or "float32", to which values are rounded; None keeps every
            value: the type that all weights have, or float32 where they have several or float64.
        allow_nonfinite: keep NaN and infinity, and list their arrays in the manifest's source.
        ignore_attributes: of the configuration, which do not change what the model computes though
            this code does not know them; recorded in the manifest's source.
        progress: called with the numbers of arrays read and to read, after each.

    Raises:
        UsageError: an unknown dtype, or an attribute that cannot be ignored.
        ConfigError: the model is not one that is supported.
        CheckpointError: the checkpoint is not whole, or has values that are not finite, overflow
            dtype, or are not kept by float32 where no dtype was given.
        TokenizerError: the tokenizer is damaged or does not fit the model.
        OutputExistsError: store_path is taken.
        InputOutputError: the operating system refuses.
    """
    if dtype is not None and dtype not in format.DTYPES:
        raise errors.UsageError(
            f"dtype {dtype!r} is not supported. Choose one of {', '.join(format.DTYPES)}."
        )
    directory = pathlib.Path(source_directory)
    files.refuse_existing(places.parse(store_path), "a store")
    # Before the config, which an adapter has not.
    checkpoints.weight_files(directory)
    config, family = hf_config.read(directory, ignore_attributes)
    checkpoint = checkpoints.open_checkpoint(directory)
    assignments = plan.assign(checkpoint, config, key_map.TABLES[family])
    source = {
        "format": "huggingface",
        "family": family,
        "name": naming.model_name(directory),
        "weights": checkpoint.file_sizes(),
        "ignored_attributes": sorted(ignore_attributes),
    }
    tokenizer_json = tokenizer.normalise(directory, config)
    read = functools.partial(
        _read_array,
        checkpoint,
        config,
        dtype or _stored_dtype(checkpoint, assignments),
        dtype is None,
        allow_nonfinite,
    )
    with writing.Writer(store_path, config) as writer:
        if tokenizer_json is not None:
            writer.add_tokenizer(tokenizer_json)
        nonfinite = _write_arrays(writer, read, assignments, progress)
        writer.publish(source | {"nonfinite_arrays": nonfinite})


def _write_arrays(
    writer: writing.Writer,
    read: Callable[[plan.Assignment], tuple[np.ndarray, bool]],
    assignments: list[plan.Assignment],
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    """Writes all arrays; gives the names of those that are not all finite."""
    nonfinite = []
    pending: collections.deque[futures.Future[None]] = collections.deque()
    # Leaving the block waits for what is being written: nothing comes after the writer has ended.
    with futures.ThreadPoolExecutor(WRITTEN_TOGETHER) as workers:
        for done, assignment in enumerate(assignments, start=1):
            array, is_finite = read(assignment)
            if len(pending) == WRITTEN_TOGETHER:
                pending.popleft().result()
            pending.append(workers.submit(writer.write, assignment.name, array))
            del array
            if not is_finite:
                nonfinite.append(assignment.name)
            if progress is not None:
                progress(done, len(assignments))
        for written in pending:
            written.result()
    return nonfinite


def _stored_dtype(
    checkpoint: checkpoints.Checkpoint, assignments: list[plan.Assignment]
) -> str:
    """The type that all weights have, or float32 where they have several, or one that stores have not."""
    dtypes = {checkpoint.tensor(assignment.key).dtype for assignment in assignments}
    [dtype, *others] = dtypes
    return "float32" if others or dtype not in format.DTYPES else dtype


def _read_array(
    checkpoint: checkpoints.Checkpoint,
    config: Config,
    dtype: str,
    keep_values: bool,
    allow_nonfinite: bool,
    assignment: plan.Assignment,
) -> tuple[np.ndarray, bool]:
    """One array as the store holds it, and whether all of it is finite."""
    tensor = checkpoint.read(assignment.key)
    where = f"{checkpoint.directory}: {assignment.key}"
    if assignment.tied_key is not None:
        head = checkpoint.read(assignment.tied_key)
        place = values.first_where(values.differ, tensor, head)
        if place is not None:
            raise errors.CheckpointError(
                f"{where} and {assignment.tied_key} differ at {list(place)}: only models whose "
                "head is tied to the embedding are supported"
            )
    place = values.first_where(values.is_not_finite, tensor)
    if place is not None and not allow_nonfinite:
        raise errors.CheckpointError(
            f"{where} is {tensor[place]} at {list(place)}. The weights are damaged, or overflowed "
            "when they were saved.",
            remedy={"allow_nonfinite": True},
        )
    tensor = _cast(tensor, dtype, keep_values, where)
    array = key_map.transform(assignment.row, config, tensor)
    # A tensor may hold other arrays too.
    is_finite = place is None or values.first_where(values.is_not_finite, array) is None
    return array, is_finite


def _cast(tensor: np.ndarray, dtype: str, keep_values: bool, where: str) -> np.ndarray:
    """The tensor in another type; an error where that is not what was asked for."""
    if tensor.dtype == format.DTYPES[dtype]:
        return tensor
    with np.errstate(over="ignore"):
        cast = tensor.astype(format.DTYPES[dtype])
    if keep_values and tensor.dtype == np.float64:
        place = values.first_where(values.differ, tensor, cast)
        reason = f"which {dtype} does not hold exactly. Convert it with convert_opt.py, in dtype {dtype}, to round it."
    else:
        place = values.first_where(values.overflows, tensor, cast)
        reason = f"too large for {dtype}. Choose a type with a larger range."
    if place is not None:
        raise errors.CheckpointError(
            f"{where} is {tensor[place]} at {list(place)}, {reason}"
        )
    return cast

"""A Hugging Face OPT checkpoint in, a layer store out, tensor by tensor.

Every key is used, every array of the store is set, every value is finite, and nothing stands under
the store's name unless all of it is well. While two arrays are written, digested and synced, the next is read,
checked and transposed; memory holds three tensors and copies of them, never a layer.
"""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from convert import checkpoint as checkpoints
from convert import hf_config, key_map, plan, tokenizer
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import ahead, files
from jaxneurons.store import format, writing

# While one waits for the disk, another is copied and checked.
WRITTEN_TOGETHER = 2
# Elements looked at together: checks need a few masks and copies of a piece, which stay in the cache.
PIECE_SIZE = 2**18
# The bits of infinity. Without the sign's bit, those of infinity and NaN are at least these, all others are less.
_INFINITY: Mapping[str, np.uint16 | np.uint32] = {
    "float16": np.uint16(0x7C00),
    "bfloat16": np.uint16(0x7F80),
    "float32": np.uint32(0x7F800000),
}


def convert(
    source_directory: os.PathLike | str,
    store_path: os.PathLike | str,
    *,
    dtype: str | None = None,
    allow_nonfinite: bool = False,
    name: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Converts a checkpoint into a new layer store.

    Args:
        source_directory: config, weights and tokenizer in Hugging Face's format.
        store_path: where the store is to be.
        dtype: "float16", "bfloat16" or "float32"; None keeps the type that the weights have, if
            they have one.
        allow_nonfinite: keep NaN and infinity, and list their arrays in the manifest's source.
        name: of the model, for the manifest's source; None for the directory's.
        progress: called after each array with the numbers of arrays done and to do.

    Raises:
        UsageError: an unknown dtype.
        ConfigError: the model is not one that is supported.
        CheckpointError: the checkpoint is not whole, or has values that are not finite.
        TokenizerError: the tokenizer is damaged or does not fit the model.
        OutputExistsError: store_path is taken.
        InputOutputError: the operating system refuses.
    """
    if dtype is not None and dtype not in format.DTYPES:
        wanted = ", ".join(format.DTYPES)
        raise errors.UsageError(f"dtype is {dtype!r}, wanted one of {wanted}")
    directory = pathlib.Path(source_directory)
    files.refuse_existing(pathlib.Path(store_path), "a store")
    config = hf_config.read_config(directory)
    checkpoint = checkpoints.open_checkpoint(directory)
    assignments = plan.assign(checkpoint, config)
    dtype = dtype or _stored_dtype(checkpoint, assignments)
    source = {
        "format": "huggingface",
        "name": name or directory.resolve().name,
        "weights": checkpoint.file_sizes(),
    }
    tokenizer_json = tokenizer.normalise(directory, config)
    read = functools.partial(_read_array, checkpoint, config, dtype, allow_nonfinite)
    workers = ahead.start_workers(WRITTEN_TOGETHER)
    # The workers end before the writer does: what one wrote after that would stay.
    with (
        writing.Writer(store_path, config) as writer,
        workers,
        contextlib.closing(ahead.load_ahead(read, assignments)) as loaded,
    ):
        if tokenizer_json is not None:
            writer.add_tokenizer(tokenizer_json)
        nonfinite = []
        write = functools.partial(_write_array, writer)
        written = ahead.finish_together(write, loaded, workers, WRITTEN_TOGETHER)
        for done, (array_name, is_finite) in enumerate(written, start=1):
            if not is_finite:
                nonfinite.append(array_name)
            if progress is not None:
                progress(done, len(assignments))
        writer.publish({**source, "nonfinite_arrays": nonfinite})


def _stored_dtype(
    checkpoint: checkpoints.Checkpoint, assignments: list[plan.Assignment]
) -> str:
    """The one type that all tensors have."""
    counts: dict[str, int] = {}
    for assignment in assignments:
        stored = checkpoint.dtype(assignment.key).name
        counts[stored] = counts.get(stored, 0) + 1
    if len(counts) > 1:
        found = " and ".join(f"{count} as {stored}" for stored, count in counts.items())
        raise errors.CheckpointError(
            f"{checkpoint.directory}: tensors are stored {found}: choose one with --dtype"
        )
    return next(iter(counts))


def _read_array(
    checkpoint: checkpoints.Checkpoint,
    config: Config,
    dtype: str,
    allow_nonfinite: bool,
    assignment: plan.Assignment,
) -> tuple[np.ndarray, bool]:
    """One array as the store holds it, and whether all of it is finite."""
    tensor = checkpoint.read(assignment.key)
    where = f"{checkpoint.directory}: {assignment.key}"
    if assignment.tied_key is not None:
        _check_tied(checkpoint, tensor, assignment.tied_key, where)
    place = _first_true(map(_not_finite, _pieces(tensor)), tensor.shape)
    if place is not None and not allow_nonfinite:
        raise errors.CheckpointError(
            f"{where} is {tensor[place]} at {list(place)}; --allow_nonfinite keeps it"
        )
    tensor = _cast(tensor, dtype, where)
    return key_map.transform(assignment.row, config, tensor), place is None


def _write_array(
    writer: writing.Writer,
    loaded: tuple[plan.Assignment, tuple[np.ndarray, bool], float],
) -> tuple[str, bool]:
    """Writes what `_read_array` gave; the array's name, and whether all of it is finite."""
    assignment, (array, is_finite), _ = loaded
    writer.write(assignment.name, array)
    return assignment.name, is_finite


def _check_tied(
    checkpoint: checkpoints.Checkpoint, tensor: np.ndarray, tied_key: str, where: str
) -> None:
    """Compares while holding one tensor and a piece of the other."""
    others = checkpoint.pieces(tied_key, PIECE_SIZE)
    pairs = zip(_pieces(tensor), others, strict=True)
    place = _first_true((_differ(mine, other) for mine, other in pairs), tensor.shape)
    if place is not None:
        raise errors.CheckpointError(
            f"{where} and {tied_key} differ at {list(place)}, wanted a tied head"
        )


def _differ(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    # float32 holds every value of the 16-bit types.
    mine, other = mine.astype(np.float32), other.astype(np.float32)
    return (mine != other) & ~(np.isnan(mine) & np.isnan(other))


def _cast(tensor: np.ndarray, dtype: str, where: str) -> np.ndarray:
    """The tensor in another type; finite values that overflow it are an error."""
    if tensor.dtype == format.DTYPES[dtype]:
        return tensor
    with np.errstate(over="ignore"):
        cast = tensor.astype(format.DTYPES[dtype])
    pairs = zip(_pieces(tensor), _pieces(cast), strict=True)
    overflows = (~_not_finite(before) & _not_finite(after) for before, after in pairs)
    place = _first_true(overflows, tensor.shape)
    if place is not None:
        raise errors.CheckpointError(
            f"{where} is {tensor[place]} at {list(place)}, too large for {dtype}"
        )
    return cast


def _not_finite(piece: np.ndarray) -> np.ndarray:
    """Where NaN and infinity are; bool of the piece's shape."""
    infinity = _INFINITY[piece.dtype.name]
    bits = piece.view(infinity.dtype)
    sign = np.iinfo(infinity.dtype).max // 2 + 1
    # The largest of either sign, which needs no copies; NumPy's own test of 16-bit floats is slow.
    highest_positive = piece.view(f"i{piece.itemsize}").max(initial=0)
    if highest_positive < infinity and bits.max(initial=0) < sign + infinity:
        return np.zeros(piece.shape, bool)
    return (bits & infinity) == infinity


def _pieces(tensor: np.ndarray) -> Iterator[np.ndarray]:
    flat = tensor.reshape(-1)
    return (flat[at : at + PIECE_SIZE] for at in range(0, flat.size, PIECE_SIZE))


def _first_true(
    pieces: Iterable[np.ndarray], shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Index of the first True in an array of a shape, given flat and in pieces."""
    begin = 0
    for piece in pieces:
        if piece.any():
            index = np.unravel_index(begin + int(piece.argmax()), shape)
            return tuple(int(axis) for axis in index)
        begin += piece.size
    return None

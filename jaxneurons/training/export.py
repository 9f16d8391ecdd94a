"""A checkpoint of a training run in, a layer store out: what a study and the Hugging Face export read."""

import functools
import os
import pathlib

import jax
import numpy as np

from jaxneurons import errors
from jaxneurons.store import cache, format, reading, writing
from jaxneurons.training import checkpoints, loop, parameters, step
from jaxneurons.training import record as records
from jaxneurons.training.recipe import Recipe


def is_training_directory(path: os.PathLike | str) -> bool:
    """Whether there is a training run at a local path."""
    return records.is_record(pathlib.Path(path))


def store_of_checkpoint(
    directory: pathlib.Path, step_number: int | None, cache_directory: pathlib.Path
) -> reading.Store:
    """Opens the layer store of a checkpoint, float32, which is written to the cache if need be.

    Args:
        directory: of the training run.
        step_number: of the checkpoint; None is the last.
        cache_directory: stores are kept in its folder `stores`.

    Raises:
        JaxneuronsError: as `write_store` does.
    """
    record = records.open_record(directory)
    number = _existing_step(record, step_number)
    saved = sorted((record.checkpoints_path / str(number)).rglob("*"))
    sources = [record.tokenizer_path, *(path for path in saved if path.is_file())]
    write = functools.partial(write_store, directory, number)
    title = f"{record.path.name}-step-{number}"
    facts = [record.run, number]
    return cache.open_or_make(cache_directory, title, facts, sources, write)


def write_store(
    directory: pathlib.Path,
    step_number: int | None,
    path: pathlib.Path,
    dtype: str = "float32",
) -> None:
    """Writes a checkpoint as a new layer store, with the run's tokenizer.

    Args:
        directory: of the training run.
        step_number: of the checkpoint; None is the last.
        path: where the store is to be.
        dtype: "float16", "bfloat16" or "float32".

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or a value overflows the type.
        OutputExistsError: path is taken.
    """
    record = records.open_record(directory)
    number = _existing_step(record, step_number)
    with writing.Writer(path, record.config) as writer:
        arrays = parameters.store_arrays(_load_parameters(record, number))
        for name, array in arrays.items():
            with np.errstate(over="ignore"):
                cast = array.astype(format.DTYPES[dtype])
            if not np.isfinite(cast.astype(np.float32)).all():
                raise errors.CheckpointError(
                    f"{record.path}: step {number}: {name} has values too large for {dtype}"
                )
            writer.write(name, cast)
        writer.add_tokenizer(record.read_tokenizer())
        writer.publish(source=_source(record, number))


def _source(record: records.Record, number: int) -> dict[str, object]:
    """What the store's manifest says about where it is from."""
    losses = {line["step"]: line for line in record.read_losses()}
    return {
        "format": "training",
        "name": record.path.name,
        "step": number,
        "recipe": record.entries["identity"]["recipe"],
        "losses": losses.get(number, {}),
    }


def _load_parameters(record: records.Record, number: int) -> dict:
    recipe = Recipe(**record.entries["identity"]["recipe"])
    # One device: where the run's were is of no matter here.
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), (step.AXIS,))
    wanted = loop.abstract_state(record.config, recipe, mesh)
    items = {"parameters": wanted.parameters}
    return checkpoints.load(record.checkpoints_path, record.run, number, items)[
        "parameters"
    ]


def _existing_step(record: records.Record, number: int | None) -> int:
    steps = record.saved_steps()
    if not steps or number is not None and number not in steps:
        raise errors.CheckpointError(
            f"{record.path}: no checkpoint of step {number}, wanted one of {steps}"
        )
    return steps[-1] if number is None else number

"""A checkpoint of a training run in, a layer store out: what a study and the Hugging Face export read."""

import dataclasses
import functools
import os
import pathlib

import numpy as np

from jaxneurons import devices, errors
from jaxneurons.store import cache, format, reading, writing
from jaxneurons.training import checkpoints, losses, parameters
from jaxneurons.training import run as runs


def is_training_directory(path: os.PathLike | str) -> bool:
    """Whether there is a training run at a local path."""
    return runs.is_run(pathlib.Path(path))


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
    run = runs.open_run(directory)
    number = _existing_step(run, step_number)
    saved = sorted((run.checkpoints / str(number)).rglob("*"))
    sources = [run.tokenizer, *(path for path in saved if path.is_file())]
    write = functools.partial(write_store, directory, number)
    title = f"{run.path.name}-step-{number}"
    facts = [run.identity.digest(), number]
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
    run = runs.open_run(directory)
    number = _existing_step(run, step_number)
    with writing.Writer(path, run.identity.model) as writer:
        arrays = parameters.store_arrays(_load_parameters(run, number))
        for name, array in arrays.items():
            with np.errstate(over="ignore"):
                cast = array.astype(format.DTYPES[dtype])
            if not np.isfinite(cast.astype(np.float32)).all():
                raise errors.CheckpointError(
                    f"{run.path}: step {number}: {name} has values too large for {dtype}"
                )
            writer.write(name, cast)
        writer.add_tokenizer(run.read_tokenizer())
        writer.publish(source=_source(run, number))


def _source(run: runs.Run, number: int) -> dict[str, object]:
    """What the store's manifest says about where it is from."""
    lines = {line["step"]: line for line in losses.read(run.losses)}
    return {
        "format": "training",
        "name": run.path.name,
        "step": number,
        "recipe": dataclasses.asdict(run.identity.recipe),
        "losses": lines.get(number, {}),
    }


def _load_parameters(run: runs.Run, number: int) -> dict:
    # The devices that the run was on do not matter here.
    sharding = devices.replicated(devices.make_mesh(1))
    items = {"parameters": parameters.abstract(run.identity.model, sharding)}
    digest = run.identity.digest()
    return checkpoints.load(run.checkpoints, digest, number, items)["parameters"]


def _existing_step(run: runs.Run, number: int | None) -> int:
    steps = run.saved_steps()
    if not steps:
        raise errors.CheckpointError(
            f"{run.path} has no checkpoint yet. Continue its training until it has saved one."
        )
    if number is not None and number not in steps:
        raise errors.CheckpointError(
            f"{run.path} has no checkpoint of step {number}. Choose one of {steps}."
        )
    return steps[-1] if number is None else number

"""A request in, three trained models out that differ in one thing each.

They answer what the paper asks in §5.4, whether positional neurons need position embeddings, and
conjectures in §6, that LayerNorm's place decides about dead neurons.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.training import record as records
from jaxneurons.training import run

# Name of the model's folder, and what makes it another than the base.
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "base": {"positions": "learned", "do_layer_norm_before": True},
    "no_positions": {"positions": "none", "do_layer_norm_before": True},
    "post_layer_norm": {"positions": "learned", "do_layer_norm_before": False},
}


def train_family(request: run.Request) -> list[pathlib.Path]:
    """Trains each member that is not finished; the request's `out` is the folder of them all.

    Raises:
        OutputExistsError: all are finished.
        JaxneuronsError: as `run.train`; the members before are left as they are.
    """
    base = request.out / "base"
    trained = []
    for name, variant in MEMBERS.items():
        # The base's tokenizer is everybody's: with the seed, it makes the data the same.
        tokenizer = request.tokenizer
        if name != "base" and tokenizer is None:
            tokenizer = base / "tokenizer"
        path = request.out / name
        member = dataclasses.replace(
            request, out=path, sizes={**request.sizes, **variant}, tokenizer=tokenizer
        )
        if records.is_record(path) and records.open_record(path).finished:
            run.check(member)
            continue
        run.train(member)
        trained.append(path)
    if not trained:
        raise errors.OutputExistsError(f"{request.out}: all models are finished")
    return trained

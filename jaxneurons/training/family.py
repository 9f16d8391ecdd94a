"""A request in, three trained models out that differ in one thing each.

They show what the paper asks in §5.4, whether positional neurons need position embeddings, and what
it conjectures in §6, that the place of LayerNorm decides how many neurons are dead.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.command.progress import Progress
from jaxneurons.training import run, train
from jaxneurons.training.request import Request

# Folder of each model, and how it differs from the base.
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "base": {"positions": "learned", "do_layer_norm_before": True},
    "no_positions": {"positions": "none", "do_layer_norm_before": True},
    "post_layer_norm": {"positions": "learned", "do_layer_norm_before": False},
}


def train_family(
    request: Request, progress: Progress | None = None
) -> list[pathlib.Path]:
    """Trains each member that is not finished; the request's `out` is the folder of them all.

    Args:
        request: as for the base.
        progress: says how far it is; None makes one.

    Raises:
        OutputExistsError: all are finished.
        JaxneuronsError: as `train.train`; the members before are left as they are.
    """
    trained = []
    # With the seed, a common tokenizer makes the data the same.
    tokenizer = request.tokenizer
    for name, variant in MEMBERS.items():
        path = request.out / name
        member = dataclasses.replace(
            request, out=path, sizes={**request.sizes, **variant}, tokenizer=tokenizer
        )
        if run.is_run(path) and run.open_run(path).finished:
            train.check(member)
        else:
            train.train(member, progress)
            trained.append(path)
        tokenizer = tokenizer or path / "tokenizer"
    if not trained:
        raise errors.OutputExistsError(f"{request.out}: all models are finished.")
    return trained

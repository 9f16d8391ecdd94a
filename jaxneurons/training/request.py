"""What to train on what, and where to put it: a `Request` of plain values, and how often what is written."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors
from jaxneurons.text.sources import Source
from jaxneurons.training.recipe import Recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cadence:
    """How often what is written; decides no number.

    Attributes:
        log_every: steps between lines of loss.jsonl.
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints, of which the last two are kept.
        keep: steps whose checkpoints stay forever; 0 is the model before training.

    Raises:
        UsageError: an interval is not positive.
    """

    log_every: int = 10
    validate_every: int = 100
    checkpoint_every: int = 100
    keep: tuple[int, ...] = ()

    def __post_init__(self):
        for name in ("log_every", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise errors.UsageError(
                    f"{name} is {getattr(self, name)}, but must be at least 1."
                )

    def validates(self, done: int, steps: int) -> bool:
        """Whether the model is validated after update `done` of `steps`."""
        return done == steps or done % self.validate_every == 0

    def logs(self, done: int, steps: int) -> bool:
        """Whether there is a line of losses after update `done` of `steps`."""
        return self.validates(done, steps) or done % self.log_every == 0

    def saves(self, done: int, steps: int) -> bool:
        """Whether a checkpoint is written after update `done` of `steps`."""
        due = done > 0 and done % self.checkpoint_every == 0
        return due or done == steps or done in self.keep

    def check_keep(self, steps: int) -> None:
        """Raises UsageError if a step to keep never comes."""
        never = [kept for kept in self.keep if not 0 <= kept <= steps]
        if never:
            raise errors.UsageError(
                f"The checkpoints to keep, {never}, are not among the steps from 0 to {steps}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to train on what, and where to put it.

    Attributes:
        sources: name and source of each domain's text.
        out: the training directory.
        sizes: fields of `Config` except vocab_size; the longest context is the window.
        recipe: hyperparameters.
        vocab_size: V; None is the number of the tokenizer's entries, or 4096 if one is trained.
        tokenizer: directory of the tokenizer; None trains one on the text.
        validation_share: share of each domain's documents that is held out.
        validation_windows: largest number of windows to validate on.
        cadence: how often what is written.
        cache_directory: where tokenized text is kept; None keeps none.
    """

    sources: tuple[tuple[str, pathlib.Path | Source], ...]
    out: pathlib.Path
    sizes: Mapping[str, Any]
    recipe: Recipe
    vocab_size: int | None = None
    tokenizer: pathlib.Path | None = None
    validation_share: float = 0.01
    validation_windows: int = 256
    cadence: Cadence = Cadence()
    cache_directory: pathlib.Path | None = None

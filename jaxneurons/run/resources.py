"""What a study may use of the machine, which decides no number."""

import dataclasses
import pathlib

from jaxneurons import errors
from jaxneurons.studies.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use of the machine; decides no number.

    `study(..., resources=small)` then keeps to it:

    >>> small = jaxneurons.Resources(host_memory_bytes=4 * 2**30, devices=1)

    Attributes:
        device_memory_bytes: most memory of each accelerator, or of the machine where there is none;
            None is 95 % of what JAX may take of an accelerator, four fifths of a machine's.
        host_memory_bytes: most memory of the machine, not counting 0.7 GiB for Python and JAX; None
            is four fifths of what there is.
        spill_directory: where hidden states are written that no memory has room for, and the copies
            of them from which an interrupted run resumes; None is the study's own folder, which of a study
            in an object store is in the cache.
        checkpoint_minutes: least time between such copies, so that a resumed run recomputes no more
            than about that; 0 copies after every layer, infinity never. Hidden states on disk are
            their own copy. The disk needs room for two copies, for three where every layer is copied.
        tokens_per_pass: tokens whose hidden states are held at a time; each such pass reads the
            weights again. None is all.
        devices: of each process; None is all.

    Raises:
        UsageError: the minutes are negative or NaN.
    """

    device_memory_bytes: int | None = None
    host_memory_bytes: int | None = None
    spill_directory: pathlib.Path | None = None
    checkpoint_minutes: float = 10.0
    tokens_per_pass: int | None = None
    devices: int | None = None

    def __post_init__(self):
        if not self.checkpoint_minutes >= 0:
            raise errors.UsageError(
                f"checkpoint_minutes is {self.checkpoint_minutes}. Pass 0 or more; infinity makes no copies."
            )


def check_passes(settings: Settings, resources: Resources) -> None:
    """Raises UsageError for n-grams in several passes or parts: they are counted over all tokens at once."""
    if settings.ngrams and settings.part is not None:
        raise errors.UsageError(
            f"part {settings.part}: n-grams need all windows, since a neuron's coverage does not follow from that of "
            "the parts. Leave one of the two out."
        )
    if settings.ngrams and resources.tokens_per_pass is not None:
        raise errors.UsageError(
            f"tokens_per_pass {resources.tokens_per_pass}: n-grams need all tokens in one pass, since a "
            "neuron's coverage is found from its counts on all of them. Leave one of the two out."
        )

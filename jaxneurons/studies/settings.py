"""What decides the numbers of a study besides model and text, as one frozen value."""

import dataclasses

from jaxneurons import terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the numbers of a study; made by `run.settings.resolve`.

    Attributes:
        window: T, tokens per window.
        first_layer, last_layer: layers to report, both included. Those below the first still run,
            those above the last do not.
        windows_per_batch: B, windows that each device takes at a time.
        dtype: the type to compute in.
        precision: how float32 matrices are multiplied, one of `config.PRECISIONS`.
        max_tokens: the most tokens of text to read, over all domains; None reads all.
        ngrams: whether n-grams are counted.
        examples: windows kept for each neuron in which it is at its highest, and as many others.
        candidate_share, candidate_coverage: n-grams are kept, as candidates for triggers, of neurons
            whose coverage at this share is at most that.
        part: which share of the windows was studied, such as "2/4"; None is all of them.
    """

    window: int
    first_layer: int
    last_layer: int
    windows_per_batch: int
    dtype: str
    max_tokens: int | None
    ngrams: bool
    examples: int
    candidate_share: float = float(terms.COVERAGE_SHARE)
    candidate_coverage: int = terms.CANDIDATE_COVERAGE
    precision: str = "highest"
    part: str | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers to report, ascending."""
        return tuple(range(self.first_layer, self.last_layer + 1))

    @property
    def arithmetic(self) -> str:
        """The type to compute in, with the precision unless it is the highest: what captions say."""
        if self.precision == "highest":
            return self.dtype
        return f"{self.dtype} ({self.precision})"

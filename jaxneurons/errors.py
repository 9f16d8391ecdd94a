"""What can go wrong, as exceptions: one type per kind of fault, each with its exit code.

A message is one line that says what is wrong and where, then what to do.

>>> try:
...     jaxneurons.open_study("nowhere")
... except jaxneurons.errors.StudyError as error:
...     print(error.exit_code)
65
"""

from collections.abc import Mapping
from typing import Any


class JaxneuronsError(Exception):
    """The base of every expected fault.

    Attributes:
        exit_code: what a command exits with, as in sysexits.h.
        remedy: arguments with which the call would go on in spite of the fault, such as
            {"allow_nonfinite": True}. A message does not name them: a command's flags are its own.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: Mapping[str, Any] | None = None):
        # A path, or what another library says, may run over lines.
        super().__init__(" ".join(message.splitlines()))
        self.remedy = dict(remedy or {})


class UsageError(JaxneuronsError):
    """A flag or argument with a value that means nothing here, or that contradicts another."""

    exit_code = 2


class BadDataError(JaxneuronsError):
    """Input that is not what it should be; the base of the kinds below."""

    exit_code = 65


class ConfigError(BadDataError):
    """A model configuration that is malformed, or that this code cannot honour."""


class CheckpointError(BadDataError):
    """A checkpoint file that is missing, truncated, damaged or does not fit its configuration."""


class CorpusError(BadDataError):
    """Text that cannot be read as text."""


class TokenizerError(BadDataError):
    """A tokenizer that is damaged, contradicts itself or does not fit the model."""


class StoreError(BadDataError):
    """A layer store that is missing, incomplete or damaged."""


class StudyError(BadDataError):
    """A study on disk that is missing, incomplete or damaged."""


class FormatVersionError(BadDataError):
    """A store or study written in another version of its format."""


class MismatchError(BadDataError):
    """A study resumed with another model, corpus or setting than it was begun with, or processes that have different ones."""


class NotFiniteError(BadDataError):
    """NaN or infinity where a model computes: an overflow, or broken weights."""


class TrainingError(BadDataError):
    """A training directory that is missing, incomplete or damaged."""


class DivergenceError(BadDataError):
    """A loss or its gradient is not a number any more; earlier checkpoints are untouched."""


class OutputExistsError(JaxneuronsError):
    """The place to write to is taken; nothing there was touched."""

    exit_code = 73


class InputOutputError(JaxneuronsError):
    """The operating system refused a read or a write: no space, no permission, a broken disk."""

    exit_code = 74


class InterruptedRunError(JaxneuronsError):
    """The run was interrupted and can be resumed; scripts print the command to do so."""

    exit_code = 75

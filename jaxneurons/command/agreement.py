"""That the processes of a run are about to do the same: what each was asked for in, one error that names differences out."""

from collections.abc import Mapping
from typing import Any

from jaxneurons import errors, processes
from jaxneurons.disk import manifest, strict_json


def require_same(asked: Mapping[str, Any]) -> None:
    """Raises MismatchError in all processes unless it is the same in all, JSON by name; every process calls it."""
    content = strict_json.to_bytes(asked)
    # Whatever else is asked of the processes later, they have told each other where they are.
    processes.on_this_machine()
    first, *others = [
        strict_json.parse(each, "what a process was asked for", errors.MismatchError)
        for each in processes.exchange(content)
    ]
    for index, other in enumerate(others, start=1):
        phrase = (
            f"{{key}} is {{there!r}} in process 0 and {{here!r}} in process {index}"
        )
        if found := manifest.differences("", first, other, phrase):
            raise errors.MismatchError(
                f"the processes would not do the same: {'; '.join(found)}. "
                "Start all of them with the same flags, model and text."
            )

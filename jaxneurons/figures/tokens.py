"""Tokens as a reader can make them out: pieces of a byte-level vocabulary in, words out.

As in the paper, Ġ is the space before a word. Other white space is spelled out.
"""

import itertools
import re

_WHITE = {"Ġ": "space", "Ċ": "\\n", "č": "\\r", "ĉ": "\\t"}
_RUN = re.compile(f"[{''.join(_WHITE)}]+")


def readable(piece: str) -> str:
    """The piece with its leading white space spelled out, such as `\\n + 7 spaces`."""
    run = _RUN.match(piece)
    if run is None or (run[0] == "Ġ" and run[0] != piece):
        return piece
    parts = [
        _spelled(_WHITE[mark], len(list(group)))
        for mark, group in itertools.groupby(run[0])
    ]
    return " + ".join([*parts, *filter(None, [piece[run.end() :]])])


def _spelled(mark: str, number: int) -> str:
    if number == 1:
        return mark
    return f"{number} spaces" if mark == "space" else f"{number} × {mark}"

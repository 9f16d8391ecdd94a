"""Names of files that are not read in; what is said of them out, or an error where they are what was meant."""

import collections
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from jaxneurons import errors

_SHOWN_NAMES = 10
# Endings of files that are text, but of which nobody says that they are a corpus.
_SOURCE = re.compile(
    r".*\.(bash|bib|c|cc|clj|cpp|cs|css|cu|cxx|dart|el|ex|exs|f|f90|go|h|hh|hpp|hs|html?|ipynb|java|jl|js|jsx|kt|lean"
    r"|lisp|lua|m|md|ml|mm|org|php|pl|pm|proto|ps1|py|pyi|pyx|r|rb|rs|rst|s|scala|sh|sol|sql|swift|tcl|tex|toml|ts|tsx"
    r"|v|vb|vim|vue|wat|xml|ya?ml|zig|zsh)",
    re.IGNORECASE,
)
# Names of files that go with code or data and are neither.
_ACCOMPANYING = re.compile(
    r"(.*[-_.])?(authors?|cmakelists|changelog|changes|citation|code_of_conduct|contributing|contributors|copying|copyright"
    r"|credits|eula|install|legal|licen[cs]es?|manifest|metadata|notices?|package(-lock)?|patents|readme"
    r"|requirements|security|third_?party|thirdpartynotices|todo|tsconfig|unlicense|version)([-_.].*)?",
    re.IGNORECASE,
)


class LeftOut(NamedTuple):
    """What of a domain is not read.

    Attributes:
        what: documents, or files by name.
        why: the reason.
        number: how many; None where nobody counted them.
    """

    what: str
    why: str
    number: int | None

    def __str__(self) -> str:
        number = "" if self.number is None else f"{self.number:,} "
        return f"{number}{self.what} ({self.why})"


def describe(names: Sequence[str]) -> tuple[LeftOut, ...]:
    """What is said of files that a directory holds beside its text."""
    hidden = [name for name in names if _is_hidden(name)]
    other = [name for name in names if not _is_hidden(name)]
    reasons = {"hidden": hidden, "not named like the text that is read": other}
    return tuple(
        LeftOut(f"file{'s' * (len(group) > 1)}: {_shown(group)}", why, len(group))
        for why, group in reasons.items()
        if group
    )


def refuse_source_code(
    path: pathlib.Path, text: Sequence[str], others: Sequence[str]
) -> None:
    """Raises CorpusError where a directory holds more source files than text, licences and the like aside."""
    source = [name for name in others if _is_source(name)]
    if len(source) > sum(not _accompanies(name) for name in text):
        found = f"of text only {_shown(text)}" if text else "no text files"
        files = f"{len(source)} source file{'s' * (len(source) > 1)}"
        raise errors.CorpusError(
            f"{path} has {files} ({_shown(source)}), and {found}. Name the suffix of"
            " the files that are to be read as text, or give the path of a file.",
            remedy(others),
        )


def remedy(names: Sequence[str]) -> dict[str, str]:
    """The suffix that most source files have, as an argument that reads them."""
    suffixes = [pathlib.PurePath(name).suffix for name in names if _is_source(name)]
    return (
        {"suffix": collections.Counter(suffixes).most_common(1)[0][0]}
        if suffixes
        else {}
    )


def _is_hidden(name: str) -> bool:
    return pathlib.PurePath(name).name.startswith(".")


def _is_source(name: str) -> bool:
    return bool(_SOURCE.fullmatch(name)) and not (
        _is_hidden(name) or _accompanies(name)
    )


def _accompanies(name: str) -> bool:
    """Whether a file is a licence or the like, which goes with code or data and is neither."""
    return bool(_ACCOMPANYING.fullmatch(pathlib.PurePath(name).name.partition(".")[0]))


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    ending = f" and {more} more" if more > 0 else ""
    return f"{', '.join(names[:_SHOWN_NAMES])}{ending}"

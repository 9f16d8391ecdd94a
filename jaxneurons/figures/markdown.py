"""Any text, as Markdown shows it."""

import re

from jaxneurons.figures import glyphs


def escaped(text: str) -> str:
    """The text in a sentence: nothing in it is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|$])", r"\\\1", glyphs.printable(text))


def code(text: str) -> str:
    """The text as code in a table cell: pipes escaped, fenced by more backticks than it has."""
    shown = glyphs.printable(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"

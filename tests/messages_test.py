"""Messages of the library name no flags: a message is read in Python too, and by users of commands that lack the flag."""

import ast
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
# What is part of the command line itself.
COMMANDS = re.compile(r"jaxneurons/command/|.*/options\.py$|scripts/")
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string in a source, and of each part of an f-string, docstrings aside."""
    tree = ast.parse(source)
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    docstrings = {id(node.value) for node in statements}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield node.lineno, text


def flags_named(folders: tuple[str, ...]) -> list[str]:
    """Where a string outside of the command line names a flag."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not COMMANDS.match(path.relative_to(ROOT).as_posix())
        for line, text in strings(path.read_text("utf-8"))
        if FLAG.search(text)
    ]


def test_no_message_names_a_flag():
    assert flags_named(("jaxneurons", "convert")) == []


def test_a_flag_is_seen_in_a_message_and_not_in_a_docstring():
    source = 'def f(x):\n    "--no"\n    raise E(f"{x}: pass --yes")\n'
    assert [text for _, text in strings(source) if FLAG.search(text)] == [
        ": pass --yes"
    ]

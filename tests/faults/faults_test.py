"""The faults that are foreseen, what must happen in each, and that each has a test.

    python -m pytest -m "fault(case=24)"             the tests of case 24
    python -m pytest -m "fault(case=24)" --campaign  the same with every try that it is meant to stand

What holds in all of them: one line that says what was given, what was wanted and where, with the
exit code of `errors`; nothing under a final name unless it is whole; what was there before is
untouched; the command can be run again.
"""

import ast
import collections
import functools
import pathlib
import re

from tests.support import cases

TESTS = pathlib.Path(__file__).parents[1]
PAGE = TESTS.parent / "jaxneurons" / "disk" / "README.md"
CASES = {
    # The converter.
    1: "a path in an index or a manifest that leaves its folder: refused before any open",
    2: "shards missing, empty or half downloaded: all listed at once",
    3: "a git-lfs pointer in place of weights: said to be one",
    4: "a file of weights cut at any border of its structure: refused, the shard named",
    5: "a header that lies about sizes, types or places: one error, no memory taken",
    6: "a key twice, in one file, two shards, or against the index: refused",
    7: "code in a pickle: never run; a torch too old to be trusted: refused",
    8: "a torch file with compressed or repeated records: refused",
    9: "a torch file with one flipped byte: found while reading",
    10: "a torch file from before 1.6, shared storage, objects: right values or refused",
    11: "a config that is odd, huge, hostile or does not fit: attribute named, no code run",
    12: "NaN or infinity in a weight: named with its index, or kept if asked for",
    13: "a full or broken disk at any stage: 74 and nothing left, or a study to go on with",
    14: "two converters on one target: one wins, the other refuses",
    15: "a converter killed at any rename or sync: no store or a whole one, and it can rerun",
    # Text and tokenizer.
    16: "gzip truncated, damaged, empty, with junk behind it: file and member named",
    17: "a gzip bomb, an endless line, more text than asked for: bounded memory",
    18: "JSON lines with anything wrong: file and line named, the same in gzip",
    19: "a tokenizer that does not fit, special tokens in text: refused, or as defined",
    20: "text that changes, comes twice, in loops or in another order: noticed, or no difference",
    # Store and study.
    21: "any byte, chunk or layer changed: found on reading, never other values or a crash",
    22: "another version of a format, an unknown key: refused, with both versions",
    23: "study.json torn, edited or behind the arrays: trusted only for what is on the disk",
    24: "a study killed at any instant, again and again: resumes to the same bits",
    25: "resuming with another model, text, setting or version: refused, all differences named",
    26: "something in the way, odd paths: refused and untouched, or works",
    27: "Ctrl-C, SIGTERM, closed streams: out within seconds, saying how to go on",
    28: "any sequence of writing, killing, resuming, damaging, reading: as a model says",
    29: "other batch sizes, hash seeds, locales, time zones: the same bits",
    31: "object stores: killed at any instant, overtaken, silent: whole or absent",
    # Training.
    30: "training killed, torn, damaged, diverging, twice at once: the same bits or one line",
}


@cases.each("case", CASES)
def test_every_case_has_a_test(case):
    assert _tests_by_case()[case], CASES[case]


def test_every_marker_is_of_a_case():
    assert _tests_by_case().keys() <= CASES.keys()


def test_the_page_lists_every_case_with_a_file_of_its_tests():
    rows = re.findall(
        r"^\| (\d+) \| (.*) \| `(.*)` \|$", PAGE.read_text(), re.MULTILINE
    )
    assert {int(case): text for case, text, _ in rows} == CASES
    found = _tests_by_case()
    for case, _, file in rows:
        assert any(test.startswith(f"{file}::") for test in found[int(case)]), case


@functools.cache
def _tests_by_case() -> dict[int, list[str]]:
    """Names of the tests marked `fault(case=...)`, read from their source."""
    found: dict[int, list[str]] = collections.defaultdict(list)
    for path in TESTS.rglob("*_test.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for case in _cases(node):
                    found[case].append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def _cases(function: ast.FunctionDef) -> list[int]:
    return [
        ast.literal_eval(decorator.keywords[0].value)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func) == "pytest.mark.fault"
    ]

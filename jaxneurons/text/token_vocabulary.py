"""A tokenizer's files by name in, an error out where they contradict each other.

transformers reads `tokenizer.json` and then looks at `vocab.json` and `merges.txt` no more; its older tokenizers,
written in Python, read these two alone. Where they differ, a text's ids would depend on who reads them.
"""

import itertools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxneurons import errors

FAST = "tokenizer.json"
VOCABULARY = "vocab.json"
ADDED = "added_tokens.json"
MERGES = "merges.txt"


def refuse_contradictions(
    contents: Mapping[str, bytes], directory: pathlib.Path
) -> None:
    """Raises TokenizerError unless tokenizer.json has the ids of vocab.json and the rules of merges.txt."""
    if FAST not in contents or not contents.keys() & {VOCABULARY, MERGES}:
        return
    fast = _read_object(contents, FAST, directory)
    model = fast.get("model")
    model = model if isinstance(model, dict) else {}
    if VOCABULARY in contents:
        slow = _read_object(contents, VOCABULARY, directory)
        if ADDED in contents:
            slow |= _read_object(contents, ADDED, directory)
        _compare_ids(_ids(model.get("vocab")), _added_ids(fast), slow, directory)
    if MERGES in contents:
        text = _decode(contents, MERGES, directory)
        _compare_merges(_merges(model.get("merges")), text, directory)


def _compare_ids(
    ids: dict[str, Any],
    added: dict[str, Any],
    slow: dict[str, Any],
    directory: pathlib.Path,
) -> None:
    # What is only added may stand in tokenizer_config.json, which both kinds of tokenizer read.
    wanted = slow.keys() | (ids.keys() - added.keys())
    fast = ids | added
    differing = [token for token in wanted if fast.get(token) != slow.get(token)]
    if differing:
        token = min(differing)
        raise errors.TokenizerError(
            f"{directory}: {FAST} and {VOCABULARY} disagree on {len(differing)} tokens, such as"
            f" {token!r:.80}: {_id(fast, token)} and {_id(slow, token)}; wanted one tokenizer"
        )


def _compare_merges(fast: list[str], text: str, directory: pathlib.Path) -> None:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    slow = [line for line in lines if line and not line.startswith("#version")]
    for number, (ours, theirs) in enumerate(itertools.zip_longest(fast, slow), start=1):
        if ours != theirs:
            raise errors.TokenizerError(
                f"{directory}: rule {number} is {ours!r:.80} in {FAST} and {theirs!r:.80} in"
                f" {MERGES}; wanted one tokenizer"
            )


def _ids(vocabulary: Any) -> dict[str, Any]:
    return vocabulary if isinstance(vocabulary, dict) else {}


def _id(ids: Mapping[str, Any], token: str) -> str:
    return f"{ids[token]!r:.20}" if token in ids else "none"


def _added_ids(fast: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of tokenizer.json's added tokens, those that have the form of such."""
    listed = fast.get("added_tokens")
    entries = listed if isinstance(listed, list) else []
    return {
        str(entry["content"]): entry.get("id")
        for entry in entries
        if isinstance(entry, dict) and "content" in entry
    }


def _merges(listed: Any) -> list[str]:
    """Rules as merges.txt writes them; tokenizer.json has them as pairs or as text."""
    rules = listed if isinstance(listed, list) else []
    return [
        " ".join(map(str, rule)) if isinstance(rule, list) else str(rule)
        for rule in rules
    ]


def _read_object(
    contents: Mapping[str, bytes], name: str, directory: pathlib.Path
) -> dict[str, Any]:
    try:
        value = json.loads(_decode(contents, name, directory))
    except (ValueError, RecursionError) as error:
        raise errors.TokenizerError(
            f"{directory / name}: not readable as JSON: {error}"
        ) from error
    if not isinstance(value, dict):
        raise errors.TokenizerError(f"{directory / name}: wanted a JSON object")
    return value


def _decode(contents: Mapping[str, bytes], name: str, directory: pathlib.Path) -> str:
    try:
        return contents[name].decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.TokenizerError(
            f"{directory / name}: not UTF-8 at byte {error.start}"
        ) from error

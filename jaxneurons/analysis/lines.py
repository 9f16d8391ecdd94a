"""A record in, its line of a .jsonl file out."""

import json
from collections.abc import Mapping
from typing import Any


def to_line(record: Mapping[str, Any]) -> bytes:
    """The record as JSON and a line feed."""
    return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()

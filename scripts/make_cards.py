"""Cuts text into index cards, all of one size, as the default model was trained on and is studied on.

    python scripts/make_cards.py --corpus=wikipedia=wikipedia.jsonl.gz --out=cards

On a card, a position says much about the text: the first line is a heading, and lines have 63 columns. Training and
studies read cards/wikipedia.jsonl.gz as any text; those for a study are cut with --for_study.
"""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from absl import flags

from jaxneurons import errors
from jaxneurons.command import common_flags, script, text_flags
from jaxneurons.demo import card

_TEXT = text_flags.define("At least one domain is required")
_OUT = common_flags.required(
    "out", "DIR", "Directory to write the cards of each domain to."
)
_MOST = flags.DEFINE_integer(
    "most",
    None,
    "Largest number of cards per domain, evenly spaced among all. Default: all.",
    1,
)
_FOR_STUDY = flags.DEFINE_bool(
    "for_study",
    False,
    "Whether the cards are to fill the windows of a study, which have room for a byte less than those of training.",
)


@script.command
def main() -> None:
    from jaxneurons.disk import files, places

    sources = _TEXT.sources()
    if not sources:
        raise errors.UsageError("--corpus=NAME=PATH is required to make cards.")
    out = places.local(_OUT.value)
    length = card.LINES * card.WIDTH - 1 - _FOR_STUDY.value
    with files.partial_directory(out, "a folder of cards") as partial:
        for name, source in sources:
            lines = _thinned([*_lines(name, source, length)], _MOST.value)
            if not lines:
                raise errors.CorpusError(f"the text of {name} fills no card.")
            # Without a time, so that the same text gives the same bytes.
            content = gzip.compress("".join(lines).encode(), mtime=0)
            (partial / f"{name}.jsonl.gz").write_bytes(content)
            print(f"{name}: {len(lines):,} cards")
    print(f"wrote {out}")


def _lines(name: str, source: Any, length: int) -> Iterator[str]:
    """The cards of a domain as JSON Lines, each with the place of its document."""
    from jaxneurons.text import corpus

    for document in corpus.read_documents([(name, source)]):
        if not isinstance(document.content, str):
            raise errors.CorpusError(f"{document.place} holds tokens, not text.")
        place = document.place.rpartition("/")[2]
        for text in card.cut(name, document.content, length):
            yield json.dumps({"text": text, "source": place}) + "\n"


def _thinned(lines: list[str], most: int | None) -> list[str]:
    count = min(len(lines), most or len(lines))
    return [lines[index * len(lines) // count] for index in range(count)]


if __name__ == "__main__":
    main()

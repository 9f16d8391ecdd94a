"""What the ids of a study's text stand for.

In: the `tokenizer.json` that the study keeps, where the model has one. Out: the text of every id,
and how many ids mean something.
"""

from typing import NamedTuple

import tokenizers

from jaxneurons.disk import files
from jaxneurons.studies.directory import Study

TOKENIZER = "tokenizer.json"


class Vocabulary(NamedTuple):
    """The ids of a model.

    Attributes:
        pieces: text of each of the V ids, as the tokenizer spells it ("Ġtitle"); `<id 50270>` for an
            id without an entry.
        real: how many ids, from 0 on, mean something.
    """

    pieces: tuple[str, ...]
    real: int


def write(study: Study, tokenizer: bytes) -> None:
    """Keeps a tokenizer.json."""
    with study.writing(TOKENIZER) as file:
        file.write(tokenizer)


def read(study: Study) -> Vocabulary:
    """The vocabulary: ids mean something if the tokenizer has them, or the text has them or a higher one.

    Raises:
        StudyError: what the study keeps of it is missing or damaged.
        InputOutputError: the operating system refuses.
    """
    named: dict[int, str] = {}
    if TOKENIZER in study.facts.files:
        content = files.read_file(study.verified(TOKENIZER))
        entries = tokenizers.Tokenizer.from_buffer(content).get_vocab()
        named = {token: text for text, token in entries.items()}
    ids = range(study.identity.model.config.vocab_size)
    pieces = tuple(named.get(token, f"<id {token}>") for token in ids)
    return Vocabulary(pieces, max([*named, int(study.read("tokens").max())]) + 1)

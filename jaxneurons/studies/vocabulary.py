"""What the ids of a study's text stand for.

In: the `tokenizer.json` that the study keeps, where the model has one. Out: the tokenizer, the text
of every id, and how many ids mean something.
"""

from typing import NamedTuple

from jaxneurons.disk import files
from jaxneurons.studies.directory import Study
from jaxneurons.terms import TOKENIZER_FILE
from jaxneurons.text.tokenizer import Tokenizer

NAME = TOKENIZER_FILE


class Vocabulary(NamedTuple):
    """The ids of a model.

    Attributes:
        pieces: text of each of the V ids, as the tokenizer spells it ("Ġtitle"); `<id 50270>` for
            an id without an entry.
        real: how many ids, from 0 on, mean something.
    """

    pieces: tuple[str, ...]
    real: int


def write(study: Study, tokenizer: bytes) -> None:
    """Keeps a tokenizer.json."""
    with study.writing(NAME) as file:
        file.write(tokenizer)


def read_tokenizer(study: Study) -> Tokenizer | None:
    """The tokenizer; None where the model has none.

    Raises:
        StudyError: it is missing or damaged.
        InputOutputError: the operating system refuses.
    """
    if NAME not in study.facts.files:
        return None
    path = study.verified(NAME)
    return Tokenizer.from_json(files.read_file(path), str(path))


def read(study: Study) -> Vocabulary:
    """The vocabulary; raises as `read_tokenizer`.

    Ids mean something if the tokenizer has them; those of the text and all below them do too.
    """
    tokenizer = read_tokenizer(study)
    named = tokenizer.vocabulary if tokenizer else {}
    ids = range(study.identity.model.config.vocab_size)
    pieces = tuple(named.get(token, f"<id {token}>") for token in ids)
    return Vocabulary(pieces, max([*named, int(study.read("tokens").max())]) + 1)

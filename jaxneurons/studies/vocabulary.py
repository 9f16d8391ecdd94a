"""What the ids of a study's text stand for.

In: the `tokenizer.json` that the study keeps, where the model has one. Out: the tokenizer, the text
of every id, and how many ids mean something.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.studies.directory import Study
from jaxneurons.terms import TOKENIZER_FILE
from jaxneurons.text.tokenizer import Tokenizer

NAME = TOKENIZER_FILE

# Ids one after the other to the text that a person reads.
Reader = Callable[[Sequence[int]], str]


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


def reader(study: Study) -> Reader:
    """What turns ids into text, `<id 5>` where the model has no tokenizer; raises as `read_tokenizer`."""
    tokenizer = read_tokenizer(study)
    if tokenizer is not None:
        return tokenizer.decode
    return lambda ids: "".join(f"<id {token}>" for token in ids)


def texts(study: Study) -> tuple[list[str], str]:
    """The text of each of the V ids, and what stands between two of them; raises as `read_tokenizer`.

    Bytes that are part of a character are lone surrogates, U+DC80 to U+DCFF, as Python's
    "surrogateescape" has them, so that parts that meet can be made whole.
    """
    tokenizer, ids = (
        read_tokenizer(study),
        range(study.identity.model.config.vocab_size),
    )
    if tokenizer is None:
        return [f"<id {token}>" for token in ids], ""
    decoded = [tokenizer.decode([token], "surrogateescape") for token in ids]
    return decoded, tokenizer.separator


def find(study: Study, text: str) -> list[int]:
    """The ids that a person reads as `text`, such as " the"; or, without any, those that are spelled so ("Ġthe").

    Raises:
        UsageError: there are none, or the text is empty.
    """
    if not text:
        raise errors.UsageError(
            'the token is empty. Pass one as a person reads it, such as " the".'
        )
    named, read_text = read(study), reader(study)
    ids = range(named.real)
    found = [token for token in ids if read_text([token]) == text]
    found = found or [token for token in ids if named.pieces[token] == text]
    if found:
        return found
    tokenizer = read_tokenizer(study)
    advice = "Without a tokenizer, tokens are written as <id 5>."
    if tokenizer is not None and not tokenizer.reads_text:
        advice = f"Its tokens are called as in {[*named.pieces[:8], '...']}."
    elif tokenizer is not None:
        parts = [read_text([token]) for token in tokenizer.encode([text])[0]]
        advice = f"Its tokenizer cuts this text into {parts}: choose one of these."
    raise errors.UsageError(
        f"{text!r} is no token of {study.identity.model.name}. {advice}"
    )

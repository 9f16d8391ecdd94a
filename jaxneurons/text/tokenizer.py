"""A `tokenizer.json` in, a tokenizer out: text to ids, and an id to the text that a person reads.

`convert/` writes that file for every model, whatever files its tokenizer came in, so that reading
it takes the `tokenizers` library alone.
"""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from jaxneurons import errors


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer; made by `from_json`.

    Attributes:
        digest: SHA-256 of its `tokenizer.json`.
        vocabulary: the entries, id to piece as the vocabulary spells it ("Ġtitle"); a model may
            have more embedding rows than that, which mean nothing.
        backend: turns text into ids, and takes no part of the text for a special token.
    """

    digest: str
    vocabulary: Mapping[int, str]
    backend: tokenizers.Tokenizer

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Reads a tokenizer.

        Args:
            content: of a `tokenizer.json` that `convert/` or a training run wrote.
            where: its path, for messages.

        Raises:
            TokenizerError: the `tokenizers` library cannot read it.
        """
        try:
            backend = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
        except Exception as error:  # tokenizers raises bare Exception.
            raise errors.TokenizerError(
                f"{where}: tokenizers {tokenizers.__version__} cannot read this file"
                f" ({' '.join(str(error).split()):.200})"
            ) from error
        # Without this, a literal "</s>" in a text is taken for the special token.
        backend.encode_special_tokens = True
        vocabulary = {token: piece for piece, token in backend.get_vocab().items()}
        return cls(hashlib.sha256(content).hexdigest(), vocabulary, backend)

    def __len__(self) -> int:
        """Counts the ids that mean something."""
        return len(self.vocabulary)

    @property
    def reads_text(self) -> bool:
        """Whether it turns text into ids; else it only says what ids are called."""
        is_list = isinstance(self.backend.model, models.WordLevel)
        return not is_list or self.backend.pre_tokenizer is not None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns each text into ids, with no special token before, in or after it."""
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def token_text(self, token: int) -> str:
        """Spells an id as the vocabulary does; `<id 50270>` for an id without an entry."""
        return self.vocabulary.get(token, f"<id {token}>")

    def decode_token(self, token: int) -> str:
        r"""Writes an id as a person reads it: " the", a line break, `\xe2` for part of a character."""
        return self.decode([token])

    def decode(self, tokens: Sequence[int], parts: str = "backslashreplace") -> str:
        """Writes ids one after the other as a person reads them; parts of a character that meet make it whole.

        Args:
            tokens: the ids.
            parts: what becomes of bytes that are part of a character, one of Python's names for it.
        """
        runs = itertools.groupby(tokens, self._decoding)
        return "".join(decode(list(run), parts) for decode, run in runs)

    @property
    def separator(self) -> str:
        """What stands between two ids that are decoded together."""
        return " " if self.backend.decoder is None else ""

    def _decoding(self, token: int) -> Callable[[list[int], str], str]:
        """How an id is decoded, together with those around it that are decoded so too."""
        # What was added to the vocabulary later is spelled as it is, not by bytes.
        if token in self._added or token not in self.vocabulary:
            return self._spell
        if not isinstance(self.backend.decoder, decoders.ByteLevel):
            return self._ask_backend
        is_bytes = _BYTES.keys() >= set(self.vocabulary[token])
        return self._join_bytes if is_bytes else self._spell

    @functools.cached_property
    def _added(self) -> Mapping[int, tokenizers.AddedToken]:
        return self.backend.get_added_tokens_decoder()

    def _spell(self, tokens: list[int], parts: str) -> str:
        return "".join(map(self.token_text, tokens))

    def _ask_backend(self, tokens: list[int], parts: str) -> str:
        return self.backend.decode(tokens, skip_special_tokens=False)

    def _join_bytes(self, tokens: list[int], parts: str) -> str:
        spelled = self._spell(tokens, parts)
        return bytes(_BYTES[char] for char in spelled).decode("utf-8", parts)


def _byte_of_characters() -> dict[str, int]:
    """The byte for each of the 256 characters in which byte-level vocabularies spell their pieces.

    Printable characters of Latin-1 stand for themselves; the other bytes, in order, are U+0100
    and what follows.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    kept = [ord(char) for char in alphabet if ord(char) < 256]
    moved = sorted(set(range(256)) - set(kept))
    return dict(zip(alphabet, [*kept, *moved], strict=True))


_BYTES = _byte_of_characters()

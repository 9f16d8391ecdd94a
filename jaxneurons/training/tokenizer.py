"""A byte-level BPE tokenizer from text, in the form and with the special tokens of OPT's.

In: text by domain, or the directory of a given tokenizer. Out: the content of a `tokenizer.json`.
The text that is later held out from training is read too: it decides merges, not weights.
"""

import pathlib
from collections.abc import Iterator

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from convert import tokenizer
from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.disk import files, strict_json
from jaxneurons.text import corpus

# OPT's ids 0 to 3.
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
BEGIN = "</s>"
_BYTES = 256


def train(
    sources: corpus.Sources,
    vocab_size: int,
) -> bytes:
    """Learns merges from the text; returns the `tokenizer.json`.

    Args:
        sources: name and source of each domain.
        vocab_size: number of entries, special tokens and bytes included; the tokenizer has fewer if
            the text has no more pairs.

    Raises:
        UsageError: vocab_size leaves no room for the bytes.
        CorpusError: the text cannot be read, or is ready tokens.
    """
    least = len(SPECIAL_TOKENS) + _BYTES
    if vocab_size < least:
        raise errors.UsageError(
            f"vocab_size is {vocab_size}, but must be at least {least}: the special tokens and "
            "one entry per byte."
        )
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(sources), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        special_tokens=[(BEGIN, SPECIAL_TOKENS.index(BEGIN))],
    )
    return backend.to_str().encode()


def read(directory: pathlib.Path, config: Config) -> bytes:
    """Reads a given tokenizer, in any of the forms that `convert/` knows, as a `tokenizer.json`.

    Raises:
        TokenizerError: there is none, or it does not fit the model.
    """
    content = tokenizer.normalise(directory, config)
    if content is None:
        raise errors.TokenizerError(
            f"{directory} has no tokenizer. Pass a directory with tokenizer.json, or with"
            " vocab.json and merges.txt."
        )
    return content


def write(folder: pathlib.Path, content: bytes, config: Config) -> None:
    """Writes a tokenizer to a new folder, from which transformers loads it too."""
    settings = tokenizer.settings(content, config)
    with files.translated("write", folder):
        folder.mkdir()
    files.write_atomically(folder / tokenizer.FILE, content)
    files.write_atomically(folder / tokenizer.SETTINGS, strict_json.to_bytes(settings))


def _texts(sources: corpus.Sources) -> Iterator[str]:
    for document in corpus.read_documents(sources):
        if not isinstance(document.content, str):
            raise errors.CorpusError(
                f"{document.place}: a tokenizer is trained on text, and these are ready tokens."
                " Give a tokenizer, or other text."
            )
        yield document.content

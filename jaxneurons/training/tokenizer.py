"""A byte-level BPE tokenizer from text, in the form and with the special tokens of OPT's.

In: text by domain. Out: a directory that `corpus.load_tokenizer` and transformers read. The text
that is later held out from training is read too: it decides merges, no weight.
"""

import json
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from jaxneurons import errors
from jaxneurons.disk import files
from jaxneurons.text import corpus, documents, inputs

# OPT's ids 0 to 3.
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
BEGIN = "</s>"
_BYTES = 256
# What transformers needs to know beside tokenizer.json.
_SETTINGS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": BEGIN,
    "eos_token": BEGIN,
    "pad_token": "<pad>",
    "unk_token": "<unk>",
}


def train(
    sources: Sequence[tuple[str, pathlib.Path]],
    vocab_size: int,
    directory: pathlib.Path,
) -> None:
    """Learns merges from the text and writes the tokenizer.

    Args:
        sources: name and path of each domain.
        vocab_size: entries, special tokens and bytes included; fewer if the text has no more pairs.
        directory: made here.

    Raises:
        UsageError: vocab_size leaves no room for the bytes.
        CorpusError: the text cannot be read, or is ready tokens.
    """
    least = len(SPECIAL_TOKENS) + _BYTES
    if vocab_size < least:
        raise errors.UsageError(
            f"vocab_size {vocab_size}: wanted at least {least}, special tokens and bytes"
        )
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(sources), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        special_tokens=[(BEGIN, SPECIAL_TOKENS.index(BEGIN))],
    )
    with files.translated("write", directory):
        directory.mkdir()
        (directory / "tokenizer_config.json").write_text(json.dumps(_SETTINGS))
        (directory / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")


def copy(source: pathlib.Path, directory: pathlib.Path) -> None:
    """Copies a tokenizer's files into a directory made here; what they hold is checked on loading."""
    with files.translated("copy the tokenizer", source):
        directory.mkdir()
        for name in corpus.TOKENIZER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, directory / name)


def _texts(sources: Sequence[tuple[str, pathlib.Path]]) -> Iterator[str]:
    for _, path in sources:
        for file in inputs.list_files(path):
            for document in documents.read_documents(file):
                if not isinstance(document.content, str):
                    raise errors.CorpusError(
                        f"{document.place}: ready tokens, wanted text to train a tokenizer on"
                    )
                yield document.content

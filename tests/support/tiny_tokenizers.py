"""A byte-level tokenizer small enough to know by heart, and ready tokens, for tests."""

import json
import pathlib

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from jaxneurons import config
from jaxneurons.text import tokenizer

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
# Ids follow the order of Unicode, and every byte has one piece: "!" is 4.
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
SIZE = len(SPECIAL) + len(ALPHABET)
BOS = "</s>"


def encode_bytes(text: str) -> list[int]:
    """What the tokenizer must say, from the definition of byte-level pieces alone."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    pieces = {byte: chr(byte) for byte in printable}
    pieces |= {byte: chr(0x100 + index) for index, byte in enumerate(others)}
    ids = {piece: 4 + index for index, piece in enumerate(sorted(pieces.values()))}
    return [ids[pieces[byte]] for byte in text.encode()]


def tokenizer_json(
    beginning: tuple[str, ...] = (BOS,),
    extra: tuple[str, ...] = (),
    special: tuple[str, ...] = SPECIAL,
) -> bytes:
    """A tokenizer that puts `beginning` before a text and has `extra` entries."""
    vocabulary = {text: index for index, text in enumerate((*SPECIAL, *ALPHABET))}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(special))
    backend.add_tokens(list(extra))
    backend.post_processor = processors.TemplateProcessing(
        single=" ".join((*beginning, "$A")), special_tokens=[(BOS, 2)]
    )
    return backend.to_str().encode()


def load(**options: tuple[str, ...]) -> tokenizer.Tokenizer:
    """The same, ready to use."""
    return tokenizer.Tokenizer.from_json(tokenizer_json(**options), "tiny tokenizer")


def save_tokenizer(directory: pathlib.Path, **options: tuple[str, ...]) -> pathlib.Path:
    """Writes it as a model's directory has it."""
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_bytes(tokenizer_json(**options))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def tiny_config(**changes) -> config.Config:
    """A model with four embedding rows more than the tokenizer has entries."""
    sizes = {
        "vocab_size": SIZE + 4,
        "hidden_size": 8,
        "ffn_dim": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "max_position_embeddings": 64,
    }
    return config.Config(**(sizes | changes))


CONFIG = tiny_config()


def write_lines(path: pathlib.Path, records: list[dict]) -> pathlib.Path:
    """Writes a record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def token_file(path: pathlib.Path, *sequences) -> pathlib.Path:
    """Writes a document of ready tokens for each sequence."""
    return write_lines(path, [{"tokens": list(tokens)} for tokens in sequences])

"""A small training run for tests: how it is requested, as flags too, and as it was when it was killed."""

import dataclasses
import json
import pathlib
import shutil

from jaxneurons.text import sources
from jaxneurons.training import recipe
from jaxneurons.training import run as runs
from jaxneurons.training.request import Cadence, Request
from tests.support import tiny_tokenizers, training_text

SIZES = {
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
    "positions": "learned",
    "word_embed_proj_dim": 32,
}
RECIPE = recipe.Recipe(
    steps=120,
    windows_per_step=16,
    warmup_steps=10,
    learning_rate=0.01,
    init_std=0.05,
    dropout=0.02,
)
CADENCE = Cadence(log_every=5, validate_every=40, checkpoint_every=40, keep=(0, 20))
# The same as flags, but for --corpus, --tokenizer and --out.
FLAGS = (
    "--layers=2",
    "--hidden_size=32",
    "--ffn_dim=64",
    "--heads=2",
    "--window=24",
    "--steps=120",
    "--windows_per_step=16",
    "--warmup_steps=10",
    "--learning_rate=0.01",
    "--init_std=0.05",
    "--dropout=0.02",
    "--validation_share=0.1",
    "--log_every=5",
    "--validate_every=40",
    "--checkpoint_every=40",
    "--keep=0,20",
)


def request(folder: pathlib.Path, out: pathlib.Path, **changes) -> Request:
    """A request for the text and the tokenizer in a folder, which are written if need be."""
    text = folder / "text.jsonl"
    if not text.exists():
        training_text.write_documents(text)
        tiny_tokenizers.save_tokenizer(folder / "tokenizer")
    plain = Request(
        sources=(("chain", sources.make_source(text)),),
        out=out,
        sizes=SIZES,
        recipe=RECIPE,
        tokenizer=folder / "tokenizer",
        validation_share=0.1,
        cadence=CADENCE,
    )
    return dataclasses.replace(plain, **changes)


def flags(folder: pathlib.Path, out: pathlib.Path) -> list[str]:
    """The same request as the flags of train.py."""
    text, tokenizer = folder / "text.jsonl", folder / "tokenizer"
    return [
        f"--corpus=chain={text}",
        f"--tokenizer={tokenizer}",
        f"--out={out}",
        *FLAGS,
    ]


def interrupted(finished: pathlib.Path, path: pathlib.Path, step: int) -> pathlib.Path:
    """A copy of a finished run as it was when it was killed just after the checkpoint of a step."""
    shutil.copytree(finished, path)
    dataclasses.replace(runs.open_run(path), finished=False).write()
    for saved in (path / "checkpoints").iterdir():
        if int(saved.name) > step:
            shutil.rmtree(saved)
    return path


def outcome(path: pathlib.Path) -> tuple[str, dict[str, str]]:
    """What must be the same to the bit: the losses, and the digest of every array of the last state."""
    (last, *_) = sorted((path / "checkpoints").iterdir(), key=lambda p: -int(p.name))
    metadata = json.loads((last / "_CHECKPOINT_METADATA").read_bytes())
    return (path / "loss.jsonl").read_text(), metadata["custom_metadata"]["digests"]

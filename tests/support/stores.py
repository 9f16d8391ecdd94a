"""A small store of random weights, and whether two stores hold the same."""

import pathlib

from jaxneurons import config
from jaxneurons.store import random_model, reading, writing

SMALL = config.Config(
    vocab_size=11,
    hidden_size=6,
    ffn_dim=5,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=7,
)
# One of its arrays.
FC1 = "layers/001/feed_forward/fc1/kernel"
TOKENIZER = b'{"model": {}}'


def write(
    path,
    model_config=SMALL,
    *,
    dtype="float16",
    seed=0,
    arrays=None,
    tokenizer=TOKENIZER,
    source=None,
):
    """Writes a store of random arrays."""
    arrays = arrays or dict(random_model.arrays(model_config, seed, dtype))
    with writing.Writer(path, model_config) as writer:
        if tokenizer is not None:
            writer.add_tokenizer(tokenizer)
        for name, array in arrays.items():
            writer.write(name, array)
        writer.publish(source or {"name": "random"})


def flatten(tree, prefix=""):
    """Pairs of path and array of a nested dict."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def assert_same(path: pathlib.Path, whole: pathlib.Path) -> None:
    """A store has the files and elements of another, and all of it reads."""
    model = reading.open_store(path)
    assert model.fingerprint == reading.open_store(whole).fingerprint
    model.read_embed()
    for layer in range(model.config.num_hidden_layers):
        model.read_layer(layer)
    assert _names(path) == _names(whole)


def _names(path: pathlib.Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*")}

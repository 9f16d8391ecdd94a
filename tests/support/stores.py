"""Whether two stores hold the same."""

import pathlib

from jaxneurons.store import reading


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

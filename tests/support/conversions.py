"""Checkpoints that went through a change, and what refuses them."""

import pytest

from convert import opt
from jaxneurons import errors
from tests.support import tiny_models


def changed_model(tmp_path, change):
    """A checkpoint whose state dict went through `change`."""
    directory = tiny_models.write(tiny_models.random_model(), tmp_path / "model")
    import safetensors.torch

    state = safetensors.torch.load_file(directory / "model.safetensors")
    change(state)
    tiny_models.write_weights(state, directory)
    return directory


def assert_refused(
    directory, tmp_path, *fragments, kind=errors.CheckpointError, **options
):
    """One line with all fragments, and nothing left behind; returns the error."""
    with pytest.raises(kind) as caught:
        opt.convert(directory, tmp_path / "store", **options)
    for fragment in (str(directory), *fragments):
        assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [directory.name]
    return caught.value

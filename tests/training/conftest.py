"""One finished training run that the tests of this folder share; none of them changes it."""

import pytest

from jaxneurons.training import train
from tests.support import training_runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a text, a tokenizer, and in `run` the model that was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    train.train(training_runs.request(folder, folder / "run"))
    return folder

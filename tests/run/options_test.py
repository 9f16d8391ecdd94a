"""What the flags of a study say of its text."""

import pytest
from absl import flags
from absl.testing import flagsaver

from jaxneurons import demo
from jaxneurons.run import options


@pytest.fixture
def given():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver():
        yield flags.FLAGS


def test_the_default_model_reads_a_part_of_the_text_that_comes_with_it(given, tmp_path):
    assert options.max_tokens(None) == demo.DEFAULT_TOKENS
    assert options.max_tokens(demo.DEFAULT) == demo.DEFAULT_TOKENS
    assert options.max_tokens(demo.POSITIONAL) is None
    given.max_tokens = 50
    assert options.max_tokens(None) == 50
    given.max_tokens = None
    text = tmp_path / "wiki.txt"
    text.touch()
    given.corpus = [f"wiki={text}"]
    assert options.max_tokens(None) is None

"""README's examples run as they stand, and its commands are those that CI runs."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


def code_blocks(language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.mark.slow
def test_block_and_reduction_examples():
    examples = [code for code in code_blocks("python") if "xarray" not in code]
    names = {}
    for code in examples:
        exec(compile(code, str(README), "exec"), names)  # noqa: S102 (our own README)
    opt = names["opt"]
    assert names["saliency"].shape == (8, 16, opt.hidden_size)
    assert names["activations"].shape == (12, 8, 16, opt.ffn_dim)
    assert names["outs"].shape == (3, 8, 16, opt.hidden_size)
    together = names["together"]
    assert (together == together.T).all() and together.max() > 0


def test_first_commands_are_one_line_each():
    study, tests = code_blocks("sh")[:2]
    assert study.count("\n") == tests.count("\n") == 1
    assert "scripts/study.py" in study
    assert "pytest" in tests

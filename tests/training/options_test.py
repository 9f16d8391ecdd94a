"""The flags of the training scripts: the request that they make."""

import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from jaxneurons import config, errors
from jaxneurons.training import options
from tests.support import cases, training_runs


def asked(*given):
    flags.FLAGS.mark_as_parsed()
    parsed = dict(flag.removeprefix("--").split("=", 1) for flag in given)
    with flagsaver.as_parsed(**parsed):
        return options.request()


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.jsonl").touch()
    return f"--corpus=chain={tmp_path / 'text.jsonl'}"


def test_flags_make_the_request_that_they_describe(tmp_path):
    plain = training_runs.request(tmp_path, tmp_path / "run")
    given = training_runs.flags(tmp_path, tmp_path / "run")
    made = asked(*given, f"--cache={tmp_path}")
    assert made == dataclasses.replace(plain, cache_directory=tmp_path)


def test_a_published_size_and_a_change_of_it(corpus):
    made = asked(corpus, "--out=x", "--size=opt-350m", "--layers=2")
    published = config.PUBLISHED["opt-350m"].to_json()
    assert made.vocab_size == published.pop("vocab_size")
    assert made.sizes == published | {"num_hidden_layers": 2}
    assert asked(corpus, "--out=x").sizes.get("activation_function") is None
    gpt2 = asked(corpus, "--out=x", "--activation=gelu_new")
    assert gpt2.sizes["activation_function"] == "gelu_new"
    wider = asked(corpus, "--out=x", "--size=opt-350m", "--hidden_size=512")
    assert wider.sizes["word_embed_proj_dim"] == 512


def test_warm_up_is_no_longer_than_the_run(corpus):
    assert asked(corpus, "--out=x").recipe.warmup_steps == 100
    assert asked(corpus, "--out=x", "--steps=7").recipe.warmup_steps == 7


@cases.each(
    "flag, words",
    [
        ("--size=opt-7b", "opt-7b"),
        ("--keep=1,many", "steps such as 500,1500,3000"),
        ("--seed=-1", "seed is -1"),
        ("--log_every=0", "log_every is 0"),
    ],
)
def test_a_flag_without_meaning_is_named(corpus, flag, words):
    with pytest.raises(errors.UsageError, match=words):
        asked(corpus, "--out=x", flag)

"""What `open_model`, an open model and `count` refuse, and an open model under jit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons import errors
from jaxneurons.run import models
from jaxneurons.text.windows import Windows
from tests.support import cases, planted


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of three layers, twenty tokens and windows of at most sixteen."""
    store = tmp_path_factory.mktemp("model") / "store"
    planted.write_store(store, [planted.layer(planted.fires_on(4))] * 3)
    return models.open_model(store)


@cases.each(
    "tokens, message",
    [
        ([1, 2], r"int\d+\[2\]. Pass integers of two axes"),
        ([[0.5]], r"float\d+\[1, 1\]. Pass integers of two axes"),
        ([[1] * 17], "windows of 17 tokens are longer than the 16 that store reads"),
        ([[-1]], "token -1 is not in the vocabulary of store. Its tokens are 0 to"),
        ([[10**6]], "token 1000000 is not in the vocabulary"),
    ],
)
def test_tokens_that_the_model_cannot_read(model, tokens, message):
    with pytest.raises(errors.UsageError, match=message):
        model.embed(jnp.asarray(tokens))


@cases.each("layer", [-1, 3])
def test_a_layer_that_the_model_lacks(model, layer):
    with pytest.raises(
        errors.UsageError, match=r"no layer -?[13]. Its layers are 0 to 2"
    ):
        model.layer(layer)


@cases.each(
    "name, chosen, message",
    [
        ("", {}, "'' names no model. Pass an id on the hub or a directory"),
        (3, {}, "3 names no model"),
        ("opt-0.3m", {"step": 1}, "opt-0.3m is no training directory: it has no steps"),
        ("opt-0.3m", {"revision": "main"}, "opt-0.3m is not on the hub"),
        (None, {"document_start": 999}, "no token 999 to begin a document with"),
    ],
)
def test_what_names_no_model(model, name, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        models.open_model(name if name is not None else model.store.location, **chosen)


def test_a_revision_of_a_store(model):
    with pytest.raises(errors.UsageError, match="layer store: it has no revisions"):
        models.open_model(model.store.location, revision="main")


@cases.each(
    "model_given, text, message",
    [
        (False, None, "model is a str. Pass what jaxneurons.open_model gives"),
        (True, "text", "text is a str. Pass what jaxneurons.load_text gives"),
    ],
)
def test_what_is_no_model_and_no_text(model, model_given, text, message):
    with pytest.raises(errors.UsageError, match=message):
        models.check_kinds(model if model_given else "opt-0.3m", text)


def test_what_is_no_reduction(model):
    text = Windows(np.full((1, 4), 2, np.int32), *np.zeros((2, 1), int), ("a",), ("",))
    with pytest.raises(
        errors.UsageError, match="reduction is a str. Pass a jaxneurons"
    ):
        list(jaxneurons.count(model, text, "sum"))


def test_under_jit_tokens_are_checked_by_their_shape_alone(model):
    embed = jax.jit(model.embed)
    tokens = jnp.asarray([[4, 5]])
    assert (embed(tokens) == model.embed(tokens)).all()
    closed_over = jax.jit(lambda x: model.embed(tokens) + x)
    assert (closed_over(0.0) == model.embed(tokens)).all()
    with pytest.raises(errors.UsageError, match="windows of 17 tokens"):
        embed(jnp.ones((1, 17), jnp.int32))

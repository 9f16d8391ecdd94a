"""Every public name has an example in its docstring, and every example runs as it stands."""

import doctest
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxneurons
from jaxneurons import counting
from jaxneurons.run import models
from jaxneurons.studies import results
from tests.support import cases, studies

# What docstrings call `text`; `load_text` shows how it is made.
TEXT = {"window": 64, "max_tokens": 2000}


def public() -> dict[str, object]:
    """What `import jaxneurons` offers, by name, and what its functions return."""
    offered = {name: getattr(jaxneurons, name) for name in jaxneurons.__all__}
    counted = {f"counting.{name}": getattr(counting, name) for name in counting.__all__}
    new = {n: thing for n, thing in counted.items() if thing not in offered.values()}
    return offered | new | {"Model": models.Model, "Results": results.Results}


def examples(name: str, thing: object, **names: object) -> list[doctest.DocTest]:
    """The examples of a name, and of the members of a class."""
    members = vars(thing).items() if isinstance(thing, type) else ()
    # doctest itself does not look at these.
    cached = {
        f"{name}.{key}": member.func
        for key, member in members
        if isinstance(member, functools.cached_property)
    }
    finder = doctest.DocTestFinder()
    return [
        test
        for where, each in {name: thing, **cached}.items()
        for test in finder.find(each, where, extraglobs=names)
        if test.examples
    ]


@cases.each("name", sorted(public()))
def test_every_public_name_is_documented_with_an_example(name):
    thing = public()[name]
    assert thing.__doc__
    # A reduction is handed one; nobody makes one. The module's example is what it offers.
    if name not in ("counting", "counting.Batch"):
        assert examples(name, thing)


@pytest.mark.campaign
def test_examples_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXNEURONS_CACHE", str(tmp_path / "cache"))
    model = jaxneurons.open_model("opt-1.9m")
    text = jaxneurons.load_text(model, **TEXT)
    names = {"jaxneurons": jaxneurons, "model": model, "text": text}
    names |= {"jax": jax, "jnp": jnp, "np": np}
    runner = doctest.DocTestRunner()
    # First what writes the study that others open.
    with studies.undrawn():
        for name, thing in {"study": jaxneurons.study, **public()}.items():
            for example in examples(name, thing, **names):
                runner.run(example)
    assert runner.tries > 50 and not runner.failures

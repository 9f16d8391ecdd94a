"""The family: three models that differ in one thing each."""

import dataclasses
import types

import pytest

from jaxneurons import errors
from jaxneurons.training import family, train
from jaxneurons.training import run as runs
from jaxneurons.training.request import Cadence
from tests.support import cases, training_runs


def request_of(folder):
    return training_runs.request(
        folder,
        folder / "models",
        recipe=dataclasses.replace(training_runs.RECIPE, steps=4, warmup_steps=1),
        tokenizer=None,
        vocab_size=270,
        cadence=Cadence(keep=(2,)),
    )


def test_what_is_asked_of_training(tmp_path, monkeypatch):
    """Members that are finished are checked, not trained; all share the base's tokenizer."""
    asked = []
    finished = types.SimpleNamespace(finished=True)
    monkeypatch.setattr(train, "train", lambda member, _: asked.append(member))
    monkeypatch.setattr(train, "check", lambda member: None)
    monkeypatch.setattr(runs, "is_run", lambda path: path in [m.out for m in asked])
    monkeypatch.setattr(runs, "open_run", lambda path: finished)
    request = request_of(tmp_path)
    trained = family.train_family(request)
    assert trained == [request.out / name for name in family.MEMBERS]
    base, *others = asked
    assert base.tokenizer is None
    for member, name in zip(others, ("no_positions", "post_layer_norm"), strict=True):
        assert member.tokenizer == base.out / "tokenizer"
        assert member.sizes == base.sizes | family.MEMBERS[name] != base.sizes
    with pytest.raises(errors.OutputExistsError, match="all models are finished"):
        family.train_family(request)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The folders of the family, trained for a few steps."""
    folder = tmp_path_factory.mktemp("family")
    trained = family.train_family(request_of(folder))
    assert [path.name for path in trained] == list(family.MEMBERS)
    return folder / "models"


@pytest.mark.campaign
@cases.each(
    "member, field",
    [("no_positions", "positions"), ("post_layer_norm", "do_layer_norm_before")],
)
def test_members_differ_from_the_base_in_one_thing(models, member, field):
    base, other = (runs.open_run(models / name).identity for name in ("base", member))
    assert getattr(base.model, field) != getattr(other.model, field)
    changed = dataclasses.replace(other.model, **{field: getattr(base.model, field)})
    assert dataclasses.replace(other, model=changed) == base


@pytest.mark.campaign
@pytest.mark.fault(case=30)
def test_a_finished_family_is_refused(models):
    with pytest.raises(errors.OutputExistsError, match="all models are finished"):
        family.train_family(request_of(models.parent))

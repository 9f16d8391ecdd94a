"""Neurons whose effect is known: dead ones, planted detectors and controls; and sets as a person names them."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pandas
import pytest

import jaxneurons
from jaxneurons import errors
from jaxneurons.ablation import ablate, controls, edits, named_sets, writing
from jaxneurons.command.progress import Progress
from jaxneurons.model import block
from jaxneurons.run import models, texts
from jaxneurons.run.resources import Resources
from jaxneurons.studies import opening
from jaxneurons.studies.directory import Study
from tests.support import (
    cases,
    known_neurons,
    planted,
    planted_ngrams,
    planted_ngrams_wiring,
    studies,
)
from tests.support.planted_ngrams import tokens
from tests.support.planted_ngrams_wiring import LATE, ONE, SET

# Without a norm after them, what neurons write is added to the logits as it is.
MODEL = dataclasses.replace(planted_ngrams.MODEL, remove_final_layer_norm=True)
SUPPRESSOR, PROMOTER, DEAD = (0, 0), (1, 0), (2, 5)
# A neuron's value on its trigger: the weight of 1 less the threshold.
VALUE = 0.5


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of a model with a token detector that suppresses its trigger, and one that promotes it."""
    folder = tmp_path_factory.mktemp("planted")
    layers = [
        [tokens(ONE)._replace(output={ONE: -8.0}), tokens(SET[0])],
        [tokens(LATE)._replace(output={LATE: 2.0})],
        [tokens(3)],
    ]
    planted_ngrams.write_store(folder / "store", layers, MODEL)
    sources = [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in planted_ngrams_wiring.documents().items()
    ]
    return studies.run_study(
        folder / "study", folder / "store", sources, suppression=False
    )


def run(study: Study, neurons, **chosen):
    return ablate.ablate(
        models.open_studied(study),
        texts.studied_text(study),
        neurons,
        progress=Progress(shown=False),
        **{"controls": 2, "windows_per_batch": 8} | chosen,
    )


def test_planted_detectors_have_the_planted_effect_and_controls_none(study):
    chosen = named_sets.find(study, "detectors_1")
    assert {SUPPRESSOR, PROMOTER} <= chosen.neurons.triggers.keys()
    found = run(study, chosen.neurons)
    by_place = {
        (each["layer"], each["neuron"]): each for each in found.triggers["by_detector"]
    }
    suppressor, promoter = by_place[SUPPRESSOR], by_place[PROMOTER]
    assert suppressor["occurrences"] == (study.read("tokens") == ONE).sum()
    assert suppressor["logit"] == pytest.approx(8.0 * VALUE, abs=1e-5)
    assert promoter["logit"] == pytest.approx(-2.0 * VALUE, abs=1e-5)
    # The suppressed logit, 2 - 4, is the lowest of all; without the neuron it is the highest.
    assert suppressor["rank"] == 1 - planted_ngrams.VOCABULARY
    assert promoter["cosine"] < 0 < suppressor["cosine"]
    for control in found.triggers["controls"]:
        assert control["logit"] == control["rank"] == control["cosine"] == 0
        assert set(control["expected_share"].values()) == {0}
    assert 0 < found.triggers["ablated"]["expected_share"]["logit"] < 1


def test_the_suppressor_alone(study):
    table = jaxneurons.open_study(study.path).detectors(1)
    one = table[(table["layer"] == 0) & (table["neuron"] == 0)]
    found = run(study, one, controls=0).triggers
    assert found["ablated"]["logit"] == pytest.approx(8.0 * VALUE, abs=1e-5)
    assert found["ablated"]["expected_share"] == {"logit": 1, "rank": 1, "cosine": 1}


def test_triggers_that_do_not_occur_are_said(study, tmp_path):
    absent = sorted(set(range(64)) - set(study.read("tokens").ravel().tolist()))
    table = pandas.DataFrame(
        {"layer": [0], "neuron": [0], "triggers": [[{"ids": absent[:1]}]]}
    )
    found = run(study, table, controls=0)
    assert found.triggers == {"detectors": 0, "occurrences": 0}
    assert "No trigger of these token detectors occurs in this text." in str(found)
    assert "There are no controls: none were asked for" in str(found)
    assert "(mode zero), computed in float32: nats per token" in str(found)
    writing.write(found, tmp_path / "out")


@pytest.mark.campaign
def test_dead_neurons_change_no_bit_whatever_they_would_write(study):
    """Certified dead here; their rows are made large, or nothing could change."""
    chosen = named_sets.find(study, "certified_dead").neurons
    assert DEAD in map(tuple, chosen.neurons.tolist())
    model = models.open_studied(study)
    model = dataclasses.replace(model, store=Loud(model.store))
    text = texts.studied_text(study)
    windows = text.tokens[(text.tokens == ONE).any(axis=1)][:8]
    whole, without, changed = (
        logits(model, windows, edit)
        for edit in (
            edits.unchanged,
            edits.ablating(chosen.neurons),
            edits.ablating(np.array([SUPPRESSOR])),
        )
    )
    np.testing.assert_array_equal(without, whole)
    assert (changed != whole).any()
    found = ablate.ablate(
        model,
        text,
        chosen,
        controls=1,
        progress=Progress(shown=False),
    )
    assert found.ablated == found.base
    assert found.positions["ablated"] == found.positions["base"]


def logits(model, windows, edit):
    apply = jax.jit(block.Block(model.config).apply)
    x = model.embed(windows)
    for layer in range(model.config.num_hidden_layers):
        x, _ = apply({"params": edit(layer, model.layer(layer))}, x)
    return np.asarray(model.logits(x))


class Loud:
    """A store in which every neuron writes noise."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def read_layer(self, layer):
        params = self._store.read_layer(layer)
        kernel = params["feed_forward"]["fc2"]["kernel"]
        rng = np.random.default_rng(layer)
        kernel[:] = rng.normal(size=kernel.shape)
        return params


def test_neurons_dead_on_the_text_change_no_bit_of_a_trained_model():
    model = jaxneurons.open_model("opt-1.9m")
    text = jaxneurons.load_text(model, window=64, max_tokens=2000)
    firing = jaxneurons.counting.activation_counts(4, model.config.ffn_dim)
    dead = [
        (layer, neuron)
        for layer, found in jaxneurons.count(model, text, firing)
        for neuron in np.flatnonzero(found["activation_count"].sum(axis=0) == 0)
    ]
    assert len(dead) > 100
    found = jaxneurons.ablate(model, text, dead, controls=1)
    assert found.ablated == found.base != found.controls[0]
    assert found.difference["overall"] == 0 and found.controls_below["overall"] == 0


def test_a_model_that_is_where_it_was_no_more_is_to_be_named(study):
    stored = pathlib.Path(study.identity.model.location)
    away = stored.rename(stored.with_name("away"))
    with pytest.raises(errors.StoreError, match=r"Name the model that was studied\.$"):
        models.open_studied(study)
    away.rename(stored)


@pytest.mark.campaign
def test_text_in_parts_and_any_batch_give_the_same(study):
    neurons = [SUPPRESSOR, PROMOTER]
    whole = run(study, neurons, mode="mean", controls=1)
    parts = run(
        study,
        neurons,
        mode="mean",
        controls=1,
        resources=Resources(tokens_per_pass=8 * 16),
    )
    assert parts == whole


def test_a_domain_has_its_own_loss_whatever_its_name(study):
    text = texts.studied_text(study)
    names = ("overall (domain)", "overall", *text.names[2:])
    named = text._replace(names=names)
    losses = [
        ablate.ablate(
            models.open_studied(study),
            each,
            [SUPPRESSOR],
            controls=0,
            windows_per_batch=8,
            progress=Progress(shown=False),
        ).base
        for each in (text, named)
    ]
    assert list(losses[0].values()) == list(losses[1].values())
    assert len(losses[0]) == len(names) + 1


def test_controls_are_of_the_same_layer_and_decile_and_alive():
    rng = np.random.default_rng(0)
    count = {layer: rng.permutation(200) for layer in (1, 4)}
    neurons = np.array([(1, n) for n in range(0, 200, 9)] + [(4, 7), (4, 8)])
    drawn = controls.draw(neurons, count, np.random.default_rng(1))
    assert len(set(map(tuple, drawn.tolist()))) == len(drawn) == len(neurons)
    assert not set(map(tuple, drawn.tolist())) & set(map(tuple, neurons.tolist()))
    for layer, found in count.items():
        decile = controls.deciles(found)
        of_set, of_drawn = (
            decile[each[each[:, 0] == layer, 1]] for each in (neurons, drawn)
        )
        # The one neuron that is dead is replaced by any.
        assert np.isin(of_drawn, range(10)).all()
        alive = np.bincount(of_set[of_set >= 0], minlength=10)
        surplus = np.bincount(of_drawn, minlength=10) - alive
        assert (surplus >= 0).all() and surplus.sum() == (of_set < 0).sum()


def test_fewer_controls_where_a_layer_has_no_more():
    count = {0: np.array([0, 0, 0, 5, 9])}
    dead = np.array([(0, 0), (0, 1), (0, 2)])
    drawn = controls.draw(dead, count, np.random.default_rng(0))
    assert drawn.tolist() == [[0, 3], [0, 4]]
    every = np.array([(0, n) for n in range(5)])
    assert controls.draw(every, count, np.random.default_rng(0)).shape == (0, 2)


def table_of(study):
    return jaxneurons.open_study(study.path).neurons()


def test_sets_are_those_of_the_table(study, tmp_path):
    table = table_of(study)
    chosen = {
        "dead": table["dead"],
        "certified_dead": table["certified_dead"],
        "detectors_1": table["detector_1"] > 0,
        "detectors_2": table["detector_2"] > 0,
        "domain:anywhere": table["specific_anywhere"],
    }
    for name, rows in chosen.items():
        wanted = table.loc[rows, ["layer", "neuron"]]
        assert named_sets.find(study, name).neurons.neurons.tolist() == (
            wanted.to_numpy().tolist()
        )
    # Of so few alive neurons, 1 % and 5 % are one each, and those that tie with it.
    alive = table[~table["dead"]]
    lowest = alive["domain_entropy"] == alive["domain_entropy"].min()
    often = alive["frequency_anywhere"] == alive["frequency_anywhere"].max()
    assert list(alive.index[lowest & often]) == list(
        table.index[table["specific_anywhere"]]
    )
    some = named_sets.find(study, "dead", (1, 1)).neurons.neurons
    assert set(some[:, 0]) == {1}
    table[table["dead"]].to_csv(tmp_path / "set.csv", index=False)
    (tmp_path / "set.json").write_text(json.dumps([[0, 3], {"layer": 1, "neuron": 1}]))
    (tmp_path / "set.jsonl").write_text('{"layer": 2, "neuron": 0, "x": 1}\n\n[0, 1]\n')
    for name, wanted in (
        ("set.csv", table.loc[table["dead"], ["layer", "neuron"]].to_numpy().tolist()),
        ("set.json", [[0, 3], [1, 1]]),
        ("set.jsonl", [[0, 1], [2, 0]]),
    ):
        found = named_sets.find(study, str(tmp_path / name)).neurons
        assert found.neurons.tolist() == wanted


USAGE, BAD = errors.UsageError, errors.BadDataError


@cases.each(
    "name, content, kind, message",
    [
        ("nowhere", None, USAGE, "'nowhere' is no set of neurons and no file. Choose"),
        ("positional", None, USAGE, "the set positional of .* has no neuron. Choose"),
        ("domain:x", None, USAGE, "has no domain 'x'. Its domains are arranged, "),
        ("a.csv", "0,1\n", BAD, "does not begin with the header layer,neuron"),
        ("a.csv", "", BAD, "does not begin with the header layer,neuron"),
        ("a.csv", "layer,neuron\n", BAD, "no neurons to ablate. Choose at least one"),
        ("a.csv", "layer,neuron\n0,1\n\n0,1\n", BAD, "neuron 1 of layer 0 .* 2 times"),
        ("a.csv", "layer,neuron\n0,x\n", BAD, "line 2: '0,x' is no layer and neuron"),
        ("a.csv", "layer,neuron\n0\n", BAD, "line 2: '0' is no layer and neuron"),
        ("a.csv", "layer,neuron\n0,-1\n", BAD, "line 2: '0,-1' is no layer"),
        ("a.csv", "layer,neuron\n3,1\n", BAD, "no neuron 1 in layer 3. Its layers are"),
        ("a.csv", "layer,neuron\n0,13\n", BAD, "no neuron 13 in layer 0"),
        ("a.csv", "layer,neuron\n\xff\n", BAD, "not UTF-8|is no layer"),
        ("a.csv", f"layer,neuron\n{'0' * 200_000},1\n", BAD, "line 2: field larger"),
        ("a.json", "{}", BAD, "is an object. Write a list of pairs"),
        ("a.json", "[1, 2]", BAD, "1 is no layer and neuron"),
        ("a.json", "[[0, 1.0]]", BAD, "is no layer and neuron"),
        ("a.json", "[[0, true]]", BAD, "is no layer and neuron"),
        ("a.json", '[{"layer": 0}]', BAD, "is no layer and neuron"),
        ("a.json", "[[0, -1]]", BAD, "no neuron -1 in layer 0"),
        ("a.json", "[[0, 1]", BAD, "not valid JSON"),
        ("a.jsonl", "[0, 1]\n[0, 1]\n", BAD, "2 times"),
        ("a.txt", "0 1", BAD, "is neither a .csv nor a .json or .jsonl file"),
    ],
)
def test_what_is_no_set_is_one_line(study, tmp_path, name, content, kind, message):
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("latin-1"))
        name = str(tmp_path / name)
    with pytest.raises(kind, match=message) as caught:
        named_sets.find(study, name)
    assert caught.type is kind


def test_without_ngrams_no_trigger_is_sought(study):
    chosen = dataclasses.replace(study.identity.settings, ngrams=False)
    identity = dataclasses.replace(study.identity, settings=chosen)
    changed = Study(study.path, dataclasses.replace(study.facts, identity=identity))
    assert named_sets.find(changed, "dead").neurons.triggers == {}


def test_a_model_or_a_text_that_cannot_be_ablated(study):
    model, text = models.open_studied(study), texts.studied_text(study)
    bare = dataclasses.replace(model.store.config, enable_bias=False)
    unbiased = models.Model("bare", dataclasses.replace(model.store, config=bare))
    with pytest.raises(errors.UsageError, match="bare has no biases, which would wr"):
        ablate.ablate(unbiased, text, [(0, 1)], mode="mean")
    alone = text._replace(lengths=np.ones_like(text.lengths))
    with pytest.raises(errors.UsageError, match="text has no token to predict"):
        ablate.ablate(model, alone, [(0, 1)])


@cases.each("layers", [(0, 3), (2, 1), (3, 3)])
def test_layers_outside_of_the_model(study, layers):
    with pytest.raises(errors.UsageError, match="layers .* are none of model"):
        named_sets.find(study, "dead", layers)


def test_why_a_set_is_empty_is_said(tmp_path):
    known_neurons.write(tmp_path)
    two_layers = opening.open_any(tmp_path / "study")
    with pytest.raises(errors.UsageError, match="holds layers 0 to 1, not layer 2"):
        named_sets.find(two_layers, "dead", (2, 2))
    law = studies.run_study(
        tmp_path / "one",
        tmp_path / "store",
        [("law", tmp_path / "law.jsonl")],
        layers=(0, 0),
        suppression=False,
    )
    with pytest.raises(errors.UsageError, match="no neuron: the study has one domain"):
        named_sets.find(law, "domain:law")


def table(triggers):
    """A neuron as in a table of detectors, or in one that a file does not hold as it was."""
    row = {"layer": 0, "neuron": 1, "triggers": triggers}
    return pandas.DataFrame([row])


@cases.each(
    "neurons, chosen, message",
    [
        ([], {}, "no neurons to ablate"),
        ([(0, 99)], {}, "no neuron 99 in layer 0"),
        ([(0, 1)] * 2 + [(0, 2)] * 3, {}, "neuron 1 of layer 0 is named 2 times"),
        ("dead", {}, "are not pairs of integers"),
        (3, {}, "are not pairs of integers"),
        ([(0, 1.5)], {}, "are not pairs of integers"),
        ([(0, 1)], {"mode": "half"}, "Choose one of zero, mean"),
        ([(0, 1)], {"controls": -1}, "controls is -1. Pass a whole number"),
        ([(0, 1)], {"controls": "3"}, "controls is '3'. Pass a whole number"),
        ([(0, 1)], {"seed": -1}, "seed is -1. Pass a whole number"),
        (table("[{'ids': [3]}]"), {}, "column triggers is not as the tables"),
        (table(None).drop(columns="layer"), {}, "no columns layer and neuron"),
        (table(float("nan")), {}, "column triggers is not as the tables"),
    ],
)
def test_arguments_without_meaning(study, neurons, chosen, message):
    with pytest.raises(errors.UsageError, match=message):
        run(study, neurons, **chosen)


def test_another_model_is_refused(study, tmp_path):
    store = planted_ngrams.write_store(tmp_path / "store", [[tokens(3)]] * 3, MODEL)
    with pytest.raises(errors.MismatchError, match="is not the model of"):
        models.open_studied(study, store)


def test_files_are_whole_and_say_what_python_says(study, tmp_path):
    found = run(study, named_sets.find(study, "detectors_1").neurons, controls=1)
    writing.write(found, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "ablation.json").read_bytes())
    for key in ("base", "ablated", "controls", "mode", "dtype", "triggers"):
        assert written[key] == getattr(found, key)
    assert written["difference"] == found.difference
    assert "detectors" in (tmp_path / "out" / "ablation.svg").read_text()
    assert "Token detectors: " in str(found)
    with pytest.raises(errors.OutputExistsError):
        writing.refuse_taken(tmp_path / "out")


def test_edits_leave_other_layers_and_the_given_parameters(study):
    params = models.open_studied(study).layer(1)
    edit = edits.ablating(np.array([(0, 1)]))
    assert edit(1, params) is params
    kernel = np.asarray(params["feed_forward"]["fc2"]["kernel"]).copy()
    edited = edit(0, params)["feed_forward"]["fc2"]
    np.testing.assert_array_equal(params["feed_forward"]["fc2"]["kernel"], kernel)
    assert not np.asarray(edited["kernel"])[1].any()

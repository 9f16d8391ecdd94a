"""The trained model that is studied by default: token detectors, which suppress what they detect, and dead neurons."""

import pytest

import jaxneurons
from jaxneurons.figures import paper, plots


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default")
    model = jaxneurons.open_model(cache=folder / "cache")
    text = jaxneurons.load_text(model, max_tokens=20_480, cache=folder / "cache")
    return jaxneurons.study(model, text, folder / "study", figures=False, examples=0)


def test_many_neurons_of_the_first_layer_detect_tokens(result):
    assert result.model.name == "opt-0.2m"
    layers = [row.layer for row in result.detectors(1).itertuples()]
    assert layers.count(0) > 20


def test_detectors_suppress_their_tokens_more_than_chance(result):
    overall = result.summary["suppression"]["overall"]
    share = overall["detectors"]["mean_negative"]
    for control in ("random_tokens", "random_neurons"):
        assert share > overall[control]["mean_negative"] + 0.2


def test_many_are_dead_and_few_figures_empty(result):
    dead = result.neurons().groupby("layer")["dead"].mean()
    assert (dead > 0.05).all()
    empty = [
        plot
        for plot in plots.PLOTS
        if not paper.shown(plot, {"opt-0.2m": result.summary})
    ]
    assert len(empty) <= 4

"""The trained model that is studied by default: on its cards a study finds something for every figure."""

import pytest

import jaxneurons
from jaxneurons import terms
from jaxneurons.figures import paper, plots
from tests.support import demo_study


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return jaxneurons.open_study(demo_study.Made(tmp_path_factory).path)


def detectors(result):
    """Token detectors by layer."""
    return result.detectors(1)["layer"].value_counts().to_dict()


def test_many_neurons_of_the_first_layer_detect_tokens(result):
    assert result.model.name == "opt-0.3m"
    # Before training 56 do on this text, by chance.
    assert detectors(result)[0] > 90


def test_detectors_suppress_their_tokens_more_than_chance(result):
    overall = result.summary["suppression"]["overall"]
    share = overall["detectors"]["mean_negative"]
    # 0.75 against 0.53 and 0.53 on all cards, and 0.74 against 0.57 and 0.50 on these few.
    for control in ("random_tokens", "random_neurons"):
        assert share > overall[control]["mean_negative"] + 0.1


def test_early_layers_have_dead_neurons_and_are_sparse(result):
    by_layer = result.neurons().groupby("layer")
    assert (by_layer["dead"].mean()[:2] > 0.3).all()
    assert by_layer["dead"].mean()[3] < 0.01
    assert by_layer["frequency"].mean().is_monotonic_increasing


def test_positional_neurons_are_of_every_type(result):
    neurons = result.neurons()
    types = neurons.groupby("positional_type")["positional_strength"].unique()
    assert set(types.index) == {"none", *terms.POSITIONAL_TYPES}
    strong = [name for name, kinds in types.items() if "strong" in kinds]
    assert len(strong) >= 2


def test_every_figure_has_something_in_it(result):
    summaries = {"opt-0.3m": result.summary}
    empty = [plot for plot in plots.PLOTS if not paper.shown(plot, summaries)]
    assert empty == []


@pytest.mark.campaign
def test_a_study_of_its_text_finds_what_the_card_says(tmp_path):
    model = jaxneurons.open_model(cache=tmp_path / "cache")
    text = jaxneurons.load_text(model, cache=tmp_path / "cache")
    found = jaxneurons.study(model, text, tmp_path / "study", figures=False, examples=0)
    assert detectors(found) == {0: 94, 1: 40, 2: 7, 3: 1}
    neurons = found.neurons()
    dead = neurons.groupby("layer")["dead"].sum().to_list()
    assert dead == [459, 420, 20, 0]
    positional = neurons[neurons["positional_type"] != "none"]
    assert positional.groupby("layer").size().to_list() == [6, 7, 138, 706]
    shares = [
        found.summary["suppression"]["overall"][each]["mean_negative"]
        for each in ("detectors", "random_tokens", "random_neurons")
    ]
    assert [round(share, 2) for share in shares] == [0.75, 0.53, 0.53]

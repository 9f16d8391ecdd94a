"""The trained model that is studied by default: token detectors, which suppress what they detect, and dead neurons."""

import pytest

import jaxneurons
from jaxneurons import demo
from jaxneurons.figures import paper, plots


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return study(tmp_path_factory.mktemp("default"), 20_480)


def study(folder, tokens):
    model = jaxneurons.open_model(cache=folder / "cache")
    text = jaxneurons.load_text(model, max_tokens=tokens, cache=folder / "cache")
    return jaxneurons.study(model, text, folder / "study", figures=False, examples=0)


def detectors(result):
    """Token detectors by layer."""
    return result.detectors(1)["layer"].value_counts().to_dict()


def test_only_the_default_model_reads_a_part_of_the_text():
    read = {name: demo.most_tokens(name) for name in (None, demo.DEFAULT, "planted")}
    assert read == {None: 240_000, demo.DEFAULT: 240_000, "planted": None}


def test_many_neurons_of_the_first_layer_detect_tokens(result):
    assert result.model.name == "opt-0.2m"
    # On this text 54 are by chance before training, and fewer than half of them suppress.
    assert detectors(result)[0] > 60


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


@pytest.mark.campaign
def test_a_study_of_its_text_finds_what_the_card_says(tmp_path):
    found = study(tmp_path, demo.DEFAULT_TOKENS)
    assert detectors(found) == {0: 76, 1: 4, 2: 6}
    dead = found.neurons().groupby("layer")["dead"].sum().to_list()
    assert dead == [239, 359, 598]
    shares = [
        found.summary["suppression"]["overall"][each]["mean_negative"]
        for each in ("detectors", "random_tokens", "random_neurons")
    ]
    assert [round(share, 2) for share in shares] == [0.91, 0.47, 0.57]

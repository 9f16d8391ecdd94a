"""The planted model that comes with the package: its files are what the wiring says, and a study finds what is planted."""

import numpy as np
import pytest
import tokenizers
from flax import traverse_util

import jaxneurons
from jaxneurons import errors
from jaxneurons.figures import paper, plots
from tests.support import planted_demo

TOKENS = 20_480


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return jaxneurons.open_model("planted", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def result(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    text = jaxneurons.load_text(model, max_tokens=TOKENS, cache=folder / "cache")
    return jaxneurons.study(model, text, folder / "study", figures=False, examples=0)


def rows(table):
    """The rows of a table by layer and neuron."""
    return {(row.layer, row.neuron): row for row in table.itertuples()}


def test_the_files_are_those_of_the_wiring(model):
    tokenizer = tokenizers.Tokenizer.from_str(model.store.read_tokenizer().decode())
    expected = planted_demo.arrays(tokenizer)
    groups = {"embed": model.store.read_embed()}
    for layer in range(model.config.num_hidden_layers):
        groups[f"layers/{layer:03d}"] = model.store.read_layer(layer)
    for group, nested in groups.items():
        for name, found in traverse_util.flatten_dict(nested, sep="/").items():
            neutral = np.full(found.shape, float(name.endswith("layer_norm/scale")))
            wired = expected.pop(f"{group}/{name}", neutral)
            np.testing.assert_allclose(found, wired, rtol=2**-10, atol=1e-6)
    assert not expected


@pytest.mark.campaign
def test_each_planted_neuron_is_found(result):
    neurons, positional = rows(result.neurons()), rows(result.positional())
    detectors = {n: rows(result.detectors(n)) for n in (1, 3)}
    spelled = {piece: token for token, piece in result.tokenizer.vocabulary.items()}
    tokens = result.arrays["tokens"].values
    for layer in range(result.model.config.num_hidden_layers):
        for index, planted in enumerate(planted_demo.layer(layer)):
            place = layer, index
            if planted.what == "dead":
                assert neurons[place].dead
            elif planted.what == "indentation":
                assert neurons[place].specific_code_python
            elif planted.what == "positional":
                found = positional[place]
                assert found.type == planted.kind
                # A share of so few windows strays too far from its average to be thin.
                assert found.strength == planted.strength or found.type == "other"
            elif planted.what in ("token", "trigram"):
                ngrams = [
                    [spelled[token] for token in words] for words in planted.words
                ]
                there = [ngram for ngram in ngrams if occurs(tokens, ngram)]
                assert neurons[place].dead == (not there)
                if there:
                    triggers = detectors[len(there[0])][place].triggers
                    assert sorted(each["ids"] for each in triggers) == sorted(there)
            else:
                assert place not in positional
    # More than there are by design would be there by chance.
    assert len(positional) == len(planted_demo.WAVY) + 10


def occurs(tokens, ngram):
    """Whether a window, of int[W, T], has these tokens in this order."""
    length = tokens.shape[1] - len(ngram) + 1
    shifted = [tokens[:, i : i + length] == token for i, token in enumerate(ngram)]
    return np.logical_and.reduce(shifted).any()


@pytest.mark.campaign
def test_no_figure_is_empty(result):
    for plot in plots.PLOTS:
        assert paper.shown(plot, {"planted": result.summary}), plot.lacks


def test_a_directory_of_that_name_is_told_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "planted").mkdir()
    monkeypatch.chdir(tmp_path)
    model = jaxneurons.open_model("planted", cache=tmp_path / "cache")
    assert model.name == "planted (set by hand, not trained)"
    with pytest.raises(errors.JaxneuronsError, match="planted"):
        jaxneurons.open_model("./planted", cache=tmp_path / "cache")

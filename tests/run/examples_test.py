"""Examples in whole studies: of a planted model, and of the embedded one against transformers' own activations."""

import graphlib
import itertools

import numpy as np
import pytest

from convert import opt
from jaxneurons import demo
from jaxneurons.run.resources import Resources
from tests.support import planted, studies

NUMBER = 5
SPECIAL = (1, 2)
# Studies that look for nothing else.
PLAIN = {"window": 8, "ngrams": False, "suppression": False}


def read_examples(study, kind, layer, neuron):
    """(window, position, value) of the examples of a neuron."""
    columns = [
        study.read_layer(f"{kind}_{name}", layer)[neuron].tolist()
        for name in ("window", "position", "value")
    ]
    return [row for row in zip(*columns, strict=True) if row[0] >= 0]


def test_a_planted_neuron_is_shown_where_it_fires(tmp_path):
    layer = planted.layer(planted.fires_on(5), planted.constant(1))
    store = planted.write_store(tmp_path / "store", [layer] * 3)
    # Windows of a </s> and 7 tokens; token 5 is in the first, the third and the fourth, which is cut short.
    text = [4, 4, 5, 5, 4, 4, 4] + [6] * 7 + [7, 5, 7, 7, 7, 7, 7] + [8, 8, 8, 5]
    source = planted.write_documents(tmp_path / "text.jsonl", [text])
    study = studies.run_study(
        tmp_path / "study", store, [("text", source)], examples=NUMBER, **PLAIN
    )
    for kind in ("example", "random_example"):
        fires = read_examples(study, kind, 2, 0)
        assert sorted(row[:2] for row in fires) == [(0, 3), (2, 2), (3, 4)]
        # Equal in all windows: the first position that is no special token.
        always = read_examples(study, kind, 2, 1)
        assert sorted(always) == [(window, 1, 1.0) for window in range(4)]
        assert not read_examples(study, kind, 2, 2)
    assert [row[0] for row in read_examples(study, "example", 2, 1)] == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A study of opt-1.9m in several passes, and transformers' activations on its windows."""
    torch = pytest.importorskip("torch")
    import transformers

    folder = tmp_path_factory.mktemp("embedded")
    opt.convert(demo.directory(demo.RUNNING_TEXT), folder / "store")
    study = studies.run_study(
        folder / "study",
        folder / "store",
        demo.sources(demo.RUNNING_TEXT),
        window=48,
        max_tokens=1500,
        ngrams=False,
        suppression=False,
        examples=NUMBER,
        windows_per_batch=4,
        resources=Resources(tokens_per_pass=500),
    )
    assert len(study.passes) > 1
    model = transformers.AutoModelForCausalLM.from_pretrained(
        demo.directory(demo.RUNNING_TEXT), dtype=torch.float32
    )
    found = [[] for _ in model.model.decoder.layers]
    for layer, kept in zip(model.model.decoder.layers, found, strict=True):
        layer.activation_fn.register_forward_hook(
            lambda module, given, out, kept=kept: kept.append(out.numpy())
        )
    with torch.no_grad():
        for row in study.read("tokens"):
            model(torch.tensor(row[None].astype(np.int64)))
    shape = (len(study.read("tokens")), 48, model.config.ffn_dim)
    return study, [np.concatenate(kept).reshape(shape) for kept in found]


def peaks(study, activation):
    """The largest value of each window on text, float[W, F], and its position."""
    tokens, lengths = study.read("tokens"), study.read("window_length")
    counted = (np.arange(tokens.shape[1]) < lengths[:, None]) & ~np.isin(
        tokens, SPECIAL
    )
    masked = np.where(counted[..., None], activation, 0)
    return masked.max(axis=1), masked.argmax(axis=1)


@pytest.mark.campaign
def test_top_examples_of_the_embedded_model(embedded):
    study, activations = embedded
    for layer, activation in enumerate(activations):
        value, position = peaks(study, activation)
        highest = -np.sort(-value, axis=0)[:NUMBER].T
        found = {
            name: study.read_layer(f"example_{name}", layer)
            for name in ("value", "window", "position")
        }
        used = found["window"] >= 0
        # A value of nearly 0 may be on either side of it.
        np.testing.assert_allclose(
            np.where(used, found["value"], 0), highest, atol=2e-5, rtol=1e-4
        )
        neuron, rank = np.nonzero(used)
        window = found["window"][neuron, rank]
        np.testing.assert_allclose(
            value[window, neuron], found["value"][neuron, rank], atol=2e-5, rtol=1e-4
        )
        same = position[window, neuron] == found["position"][neuron, rank]
        # Two positions of a window may be equally high but for rounding.
        assert same.mean() > 0.999
        assert all(
            len(set(row[row >= 0])) == (row >= 0).sum() for row in found["window"]
        )


@pytest.mark.campaign
def test_random_examples_come_in_one_order_for_all_neurons(embedded):
    study, activations = embedded
    later = graphlib.TopologicalSorter()
    for layer, activation in enumerate(activations):
        value, _ = peaks(study, activation)
        windows = study.read_layer("random_example_window", layer)
        for neuron, row in enumerate(windows):
            own = row[row >= 0].tolist()
            active = set(np.flatnonzero(value[:, neuron] > 1e-4).tolist())
            assert len(own) >= min(NUMBER, len(active))
            assert all(value[window, neuron] > -1e-4 for window in own)
            for first, then in itertools.pairwise(own):
                later.add(then, first)
            for other in active - set(own):
                later.add(other, own[-1])
    order = list(later.static_order())
    assert len(order) == len(study.read("tokens")) and order != sorted(order)


@pytest.mark.campaign
def test_without_examples_there_are_no_arrays(tmp_path):
    store = planted.write_store(tmp_path / "store", [planted.layer()] * 3)
    source = planted.write_documents(tmp_path / "text.jsonl", [[4, 5] * 9])
    study = studies.run_study(
        tmp_path / "study", store, [("text", source)], examples=0, **PLAIN
    )
    assert not [name for name in study.facts.arrays if "example" in name]

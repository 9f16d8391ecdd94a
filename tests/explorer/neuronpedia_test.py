"""A study's batches for Neuronpedia against what its own package uploads, and against what was planted."""

import dataclasses
import json
import re
import textwrap
from unittest import mock

import numpy as np
import pytest
import requests
import tokenizers
from neuronpedia import np_activation, np_feature
from neuronpedia.requests import feature_request
from tokenizers import models

from jaxneurons import errors
from jaxneurons.config import Config
from jaxneurons.explorer import neuronpedia
from jaxneurons.studies import directory, opening
from tests.support import planted, studies

# More neurons than a batch takes. Neuron 0 fires on token 5, neuron 1 on every token, the others on none.
NEURONS = neuronpedia.BATCH + 2
MODEL = Config.from_json(
    planted.MODEL.to_json() | {"ffn_dim": NEURONS, "max_position_embeddings": 32}
)
# With </s> before it, in each window of 32: one is full, one has two tokens more.
DOCUMENT = [7] * 20 + [5] + [7] * 10 + [5, 6]
TOKENS = 1 + 31 + 1 + 2
NAMES = {2: "</s>", 5: " five", 6: "\0", 7: "</script>"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of layers 0 and 1 of 3."""
    folder = tmp_path_factory.mktemp("neuronpedia")
    kernel, bias = np.zeros((planted.SIZE, NEURONS)), np.full(NEURONS, -1.0)
    kernel[5, 0], bias[1] = 1.0, 1.0
    named = {NAMES.get(token, f"<{token}>"): token for token in range(19)}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(named, "<0>")).to_str()
    planted.write_store(folder / "store", [(kernel, bias)] * 3, MODEL, tokenizer)
    text = [("wiki", planted.write_documents(folder / "wiki.jsonl", [DOCUMENT]))]
    chosen = {"window": 32, "layers": (0, 1), "examples": 2, "ngrams": False}
    studies.run_study(folder / "study", folder / "store", text, **chosen)
    return opening.open_finished(folder / "study")


@pytest.fixture(scope="module")
def bare(study):
    """The same without what a study need not keep."""
    kept = {
        name: entry
        for name, entry in study.facts.arrays.items()
        if not name.startswith(("example", "promoted", "suppressed"))
    }
    settings = dataclasses.replace(study.identity.settings, examples=0)
    identity = dataclasses.replace(study.identity, settings=settings)
    facts = dataclasses.replace(study.facts, identity=identity, arrays=kept)
    return directory.Study(study.path, facts)


@pytest.fixture(scope="module")
def out(study, tmp_path_factory):
    """What is written of the study."""
    out = tmp_path_factory.mktemp("batches") / "out"
    neuronpedia.write(study, out)
    return out


@pytest.fixture
def posted(monkeypatch):
    """The bodies that the package posts, instead of being sent."""
    sent = []

    def post(method, url, headers, json):
        assert (method, url.rpartition("/api/")[2]) == ("POST", "feature/upload-batch")
        sent.append(json)
        return mock.Mock(status_code=200)

    monkeypatch.setattr(requests, "request", post)
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "key")
    return sent


def batches(out):
    return {
        str(path.relative_to(out)): json.loads(path.read_text("utf-8"))
        for path in out.glob("*/*.json")
    }


def as_package(feature, **place):
    """A neuron of a batch in the package's own classes."""
    logits = [
        feature[end] and [np_feature.Logit(**one) for one in feature[end]]
        for end in ("topLogits", "bottomLogits")
    ]
    activations = [
        np_activation.Activation(**place, index=feature["index"], **one)
        for one in feature["activations"]
    ]
    return np_feature.Feature(
        **place,
        index=feature["index"],
        density=feature["density"],
        top_logits=logits[0],
        bottom_logits=logits[1],
        activations=activations,
    )


def without_quantiles(body):
    """A body without what the package sends empty of every activation."""
    empty = r', "quantile(Max|Min|Fraction)": null'
    return json.loads(re.sub(empty, "", json.dumps(body)))


@pytest.mark.parametrize("name", ["study", "bare"])
def test_each_batch_is_what_the_package_uploads(name, request, tmp_path, posted):
    neuronpedia.write(request.getfixturevalue(name), tmp_path / "out")
    found = batches(tmp_path / "out")
    for body in found.values():
        place = {"modelId": body["modelId"], "source": body["source"]}
        features = [as_package(feature, **place) for feature in body["features"]]
        feature_request.FeatureRequest().upload_batch(*place.values(), features)
    assert list(map(without_quantiles, posted)) == list(found.values())


def test_the_page_beside_them_uploads_them(out, posted, monkeypatch):
    page = (out / "README.md").read_text()
    monkeypatch.chdir(out)
    [code] = re.findall(r"\n((?: {4}.*\n|\n)+)", page.partition("there:")[2])[:1]
    exec(textwrap.dedent(code), {})  # noqa: S102 (what we wrote)
    found = list(batches(out).values())
    assert len(posted) == len(found) == 4 and all(body in found for body in posted)
    assert f"study's {TOKENS} tokens" in page


def test_batches_hold_every_neuron_of_the_layers_studied(out):
    found = batches(out)
    assert found.keys() == {
        f"{layer}-neurons/batch-{i}.json" for layer in (0, 1) for i in (0, 1)
    }
    for layer in (0, 1):
        parts = [found[f"{layer}-neurons/batch-{i}.json"] for i in (0, 1)]
        assert {part["source"] for part in parts} == {f"{layer}-neurons"}
        places = [each["index"] for part in parts for each in part["features"]]
        assert places == list(range(NEURONS))


def test_a_neuron_has_what_was_planted(out, study):
    first, second, dead = batches(out)["0-neurons/batch-0.json"]["features"][:3]
    assert first["density"] == 2 / TOKENS and second["density"] == 1
    assert dead["density"] == 0 and dead["activations"] == []
    value = study.read_layer("example_value", 0)[0, 0]
    assert value > 0
    middle, start = first["activations"]
    # Twelve tokens on either side, or fewer where the window begins or ends.
    assert middle["tokens"] == ["</script>"] * 12 + [" five"] + ["</script>"] * 10
    assert middle["values"] == [0] * 12 + [value] + [0] * 10
    assert start == {"tokens": ["</s>", " five", r"\x00"], "values": [0, value, 0]}
    assert len(first["topLogits"]) == len(first["bottomLogits"]) == 10


def test_what_a_study_did_not_keep_is_left_out(bare, tmp_path):
    neuronpedia.write(bare, tmp_path / "out")
    neuron = batches(tmp_path / "out")["0-neurons/batch-0.json"]["features"][0]
    assert neuron["activations"] == [] and neuron["topLogits"] is None
    assert neuron["density"] > 0


def test_nothing_is_overwritten_and_the_same_bytes_are_written_again(
    study, out, tmp_path
):
    with pytest.raises(errors.OutputExistsError, match="an export is never overwr"):
        neuronpedia.write(study, out)
    neuronpedia.write(study, tmp_path / "out")
    files = [each for each in out.rglob("*") if each.is_file()]
    assert len(files) == 5
    for file in files:
        again = tmp_path / "out" / file.relative_to(out)
        assert again.read_bytes() == file.read_bytes()

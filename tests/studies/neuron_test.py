"""One neuron of a study: its fields against what was planted, text and HTML of hostile tokens, and bad places."""

import html.parser
import json
import math

import pytest

from jaxneurons import errors
from jaxneurons.studies import results
from tests.support import cases, known_neurons, studies
from tests.support.known_neurons import HOSTILE, TEXTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished study of layers 0 and 1 of 3."""
    folder = tmp_path_factory.mktemp("neuron")
    known_neurons.write(folder)
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return results.open_study(folder / "study")


@pytest.fixture(scope="module")
def neuron(result):
    return result.neuron(1, 0)


def test_fields_say_what_was_planted(neuron):
    assert (neuron.layer, neuron.index, neuron.model) == (1, 0, "model")
    tokens = [3 + len(TEXTS["wiki"]), 8]
    assert neuron.frequency == 3 / sum(tokens) and neuron.tokens == sum(tokens)
    assert neuron.row["frequency_wiki"] == 3 / tokens[0]
    assert neuron.kind.startswith("token detector (2 triggers), bigram detector")
    by_token = {one.ids: one for one in neuron.triggers if len(one.ids) == 1}
    assert by_token[6,][1:] == (HOSTILE, 2, 2, 2 / 3)
    assert by_token[5,][1:] == ("five", 1, 1, 1 / 3)
    assert [one.id for one in neuron.promoted][:3] == [9, 11, 0]
    assert [one.projection for one in neuron.promoted][:2] == [2.0, 1.0]
    assert neuron.suppressed[0] == (5, "five", -4.0)
    low, high = neuron.bounds
    assert low < 0 < high


def test_positions_are_shares_of_full_windows(neuron, result):
    # Two full windows of wiki and one of law.
    wiki = neuron.position_frequency_by_domain["wiki"].tolist()
    assert wiki == [0, 0, 0.5, 0, 0, 0.5, 0, 0]
    assert neuron.position_frequency[2] == pytest.approx(1 / 3)
    assert (result.neuron(1, 1).position_frequency == 1).all()


def test_examples_are_text_around_the_peak(neuron):
    # Both tokens give the same value: the window comes first, then the position.
    first, second = neuron.examples
    assert (first.window, first.position, first.id, first.domain) == (0, 2, 5, "wiki")
    assert (first.before, first.peak) == ("<2> four", "five")
    assert first.after.startswith("seven") and HOSTILE in first.text
    assert (second.window, second.position, second.peak) == (2, 1, HOSTILE)
    assert {one.window for one in neuron.random_examples} == {0, 2}


def test_text_shows_what_cannot_be_seen(neuron):
    text = str(neuron)
    assert "model, layer 1, neuron 0: token detector (2 triggers)" in text
    assert "\u202e" not in text and "</script>\\u202e⏎&\\x00" in text
    assert "⟦five⟧" in text and '"five" 5: active on 1 of 1 (100.0%)' in text
    assert repr(neuron) == text and all(
        line == line.rstrip() for line in text.splitlines()
    )


class Tags(html.parser.HTMLParser):
    """Every tag that is opened or closed, and that none is left open."""

    def __init__(self):
        super().__init__()
        self.opened, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if not self.get_starttag_text().endswith("/>"):
            self.opened.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag


def test_html_holds_tokens_as_text(neuron):
    page = neuron._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert not tags.opened and "script" not in tags.seen
    assert {"table", "mark", "bdi", "svg"} <= tags.seen
    assert "&lt;/script&gt;" in page and "\u202e" not in page


def test_json_is_plain_and_whole(neuron):
    found = json.loads(json.dumps(neuron.to_json(), allow_nan=False))
    assert found["triggers"][0].keys() == {
        "ids",
        "text",
        "activations",
        "occurrences",
        "share",
    }
    assert found["examples"][0]["peak"] == "five"
    assert found["row"]["detector_1"] == 2 and len(found["position_frequency"]) == 8


def test_a_dead_neuron_says_so(result):
    dead = result.neuron(0, 2)
    assert dead.kind == "dead and certified so" and dead.examples == ()
    assert math.isnan(dead.row["domain_entropy"])
    assert "⟦" not in str(dead) and "█" not in str(dead)
    page = dead._repr_html_()
    assert "Triggers" not in page and "svg" not in page


@cases.each(
    "place, message",
    [
        ((3, 0), "model has no layer 3. Its layers are 0 to 2."),
        ((-1, 0), "model has no layer -1. Its layers are 0 to 2."),
        ((2, 0), "holds layers 0 to 1, not layer 2. Choose one of these, or"),
        ((1, 8), "Layer 1 of model has no neuron 8. Its neurons are 0 to 7."),
    ],
)
def test_places_that_are_none(result, place, message):
    with pytest.raises(errors.UsageError, match=message) as caught:
        result.neuron(*place)
    assert "\n" not in str(caught.value)


def test_what_a_study_did_not_keep_is_said(folder, tmp_path):
    path = tmp_path / "study"
    known_neurons.make(folder, path, suppression=False, ngrams=False)
    shown = str(results.open_study(path).neuron(0, 1))
    assert "Analyze the study with its model to find them." in shown
    assert "always active" in shown and "coverage" not in shown
    sources = [("law", folder / "law.jsonl")]
    bare = tmp_path / "bare"
    studies.run_study(bare, folder / "store", sources, window=9, examples=0)
    neuron = results.open_study(bare).neuron(2, 1)
    assert neuron.examples is None and "Run a study that keeps examples" in str(neuron)
    assert "no full window" in str(neuron) and "svg" not in neuron._repr_html_()


def test_tokens_are_found_by_the_text_that_a_person_reads(result):
    # On so little text the neuron that is always active is one, too.
    assert set(result.detectors_of("five")["neuron"]) == {0, 1}
    assert list(result.detectors_of("nine", layer=1).index) == []
    with pytest.raises(errors.UsageError, match="'fives' is no token of model."):
        result.detectors_of("fives")

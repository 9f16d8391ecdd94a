"""The scripts that show a study of the default model: its page, one neuron, a list, the detectors of a token."""

import json

import pytest

from tests.support import cases, demo_study
from tests.support.helpers import run_script


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return demo_study.Made(tmp_path_factory)


@pytest.fixture
def show(made):
    """Runs a script on the study."""

    def run(script, *given, code=0):
        done = run_script(made.cache, script, f"--study={made.path}", *given)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_explore_writes_a_page_and_batches_and_takes_no_place_twice(show, tmp_path):
    batches, page = tmp_path / "batches", tmp_path / "page"
    flags = [f"--neuronpedia={batches}", f"--out={page}"]
    done = show("explore", *flags)
    assert done.stdout.splitlines() == [
        f"wrote the page {page / 'index.html'}",
        f"wrote batches for Neuronpedia to {batches}",
    ]
    assert (page / "index.html").is_file() and any(batches.rglob("*.json*"))
    assert show("explore", *flags, code=73).stderr.count("\n") == 1
    inside = [f"--neuronpedia={page / 'batches'}", f"--out={page}"]
    assert "lies in the page" in show("explore", *inside, code=2).stderr


def test_one_neuron_as_text_and_as_json(made, show):
    detectors = (made.path / "detectors_1.jsonl").read_text().splitlines()
    found = max(map(json.loads, detectors), key=lambda one: len(one["triggers"]))
    place = [f"--layer={found['layer']}", f"--neuron={found['neuron']}"]
    text = show("neuron", *place).stdout
    assert text.startswith(
        f"opt-0.3m, layer {found['layer']}, neuron {found['neuron']}:"
    )
    assert " more bigrams" in text and "⟦" in text
    neuron = json.loads(show("neuron", *place, "--json").stdout)
    assert len(neuron["triggers"]) >= len(found["triggers"]) > 5


def test_neurons_in_a_list(show):
    listed = show("neuron", "--layer=3", "--sort=-mutual_information", "--rows=5")
    head, *rows, last = listed.stdout.splitlines()
    assert "mutual_information" in head and len(rows) == 5
    column = head.split().index("mutual_information")
    found = [float(row.split()[column]) for row in rows]
    assert found == sorted(found, reverse=True) and last == "and 1,019 more"
    [first] = json.loads(show("neuron", "--json", "--rows=1").stdout)
    assert (first["layer"], first["neuron"]) == (0, 0)


def test_detectors_of_a_token(made, show):
    detectors = (made.path / "detectors_1.jsonl").read_text().splitlines()
    trigger = json.loads(detectors[0])["triggers"][0]
    listed = show("neuron", f"--token={trigger['text']}", "--json", "--rows=0").stdout
    first, found = json.loads(listed)[0], json.loads(detectors[0])
    assert [first[k] - found[k] for k in ("layer", "neuron")] == [0, 0]
    layers = {one["layer"] for one in json.loads(listed)}
    [other, *_] = set(range(4)) - layers
    said = show("neuron", f"--token={trigger['text']}", f"--layer={other}").stdout
    assert said == (
        f"No token detector of layer {other} has the trigger {trigger['text']!r}.\n"
    )


@cases.each(
    "flags, words",
    [
        (["--neuron=3"], "--neuron needs --layer."),
        (["--layer=0", "--neuron=3", "--sort=dead"], "--sort is for a list of neurons"),
        (["--layer=4"], "layer 4"),
        (["--layer=0", "--neuron=3", "--rows=5"], "--rows is for a list of neurons"),
        (["--token=no token"], "choose one of these"),
        (["--token="], "the token is empty"),
    ],
)
def test_what_means_nothing_is_2_and_one_line(show, flags, words):
    said = show("neuron", *flags, code=2).stderr
    assert said.count("\n") == 1 and words in said

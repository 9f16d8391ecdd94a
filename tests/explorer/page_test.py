"""The page in a browser: what it shows against `open_study`, hostile tokens, missing files, several studies."""

import csv
import importlib.util
import io
import itertools
import json
import pathlib
import shutil
import urllib.parse

import numpy as np
import pytest

import jaxneurons
from jaxneurons.explorer import write
from jaxneurons.studies import opening
from tests.support import (
    browser,
    cases,
    demo_study,
    known_neurons,
    planted,
    planted_ngrams,
    studies,
)
from tests.support import planted_ngrams_wiring as wiring

pytestmark = browser.needed


@pytest.fixture(scope="module")
def chromium():
    with browser.running() as running:
        yield running


def write_page(path, out):
    return write.write({path.name: opening.open_finished(path)}, out).as_uri()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A study of opt-0.3m, and its page in a folder whose name addresses cannot hold as it is."""
    folder = tmp_path_factory.mktemp("embedded")
    result = jaxneurons.open_study(demo_study.Made(tmp_path_factory).path)
    made = write_page(result.path, folder / "page")
    assert made.endswith("/page/index.html")
    moved = folder / "moved to #1 of 100%"
    (folder / "page").rename(moved)
    return result, (moved / "index.html").as_uri()


@pytest.fixture(scope="module")
def planted_page(tmp_path_factory):
    """The page of neurons wired to n-grams."""
    folder = tmp_path_factory.mktemp("planted")
    sources = [
        (name, planted.write_documents(folder / f"{name}.jsonl", documents))
        for name, documents in wiring.documents().items()
    ]
    stored = planted_ngrams.write_store(folder / "store", wiring.LAYERS)
    record = studies.run_study(folder / "study", stored, sources, windows_per_batch=16)
    return record, write_page(record.path, folder / "page")


def shown_values(page, selector):
    """The exact numbers that an element shows."""
    values = page.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.value)"
    )
    return [float(value) if value else np.nan for value in values]


def table(caption):
    return f"div[aria-label^={json.dumps(caption)}] tbody"


def test_numbers_of_twenty_neurons_are_those_of_the_study(chromium, embedded):
    result, address = embedded
    page = chromium.open(address)
    table_of_all = result.neurons().set_index(["layer", "neuron"])
    rng = np.random.default_rng(0)
    for layer, index in zip(
        rng.integers(0, 4, 20), rng.integers(0, 1024, 20), strict=True
    ):
        neuron = result.neuron(int(layer), int(index))
        page.route(f"#/layer/{layer}/neuron/{index}")
        row = table_of_all.loc[(layer, index)]
        expected = [row["activations"], row["frequency"]]
        expected += [row[f"frequency_{domain.name}"] for domain in result.corpus]
        if not row["dead"]:
            expected += [row[f"coverage_{n}"] for n in (1, 2, 3)]
            expected += [row["mutual_information"], row["domain_entropy"]]
        assert shown_values(page, "dl data") == [*expected, *neuron.bounds]
        for name, caption in (("promoted", "Promotes"), ("suppressed", "Suppresses")):
            ends = getattr(neuron, name)
            projections = [end.projection for end in ends]
            assert shown_values(page, f"{table(caption)} data") == projections
            ids = page.texts(f"{table(caption)} td:nth-child(2)")
            assert ids == [str(end.id) for end in ends]
        for kind, caption, number in (
            ("examples", "Highest", 16),
            ("random_examples", "At random", 8),
        ):
            check_examples(page, table(caption), getattr(neuron, kind)[:number])
        check_positions(page, neuron, result)
    assert page.problems == []


def check_examples(page, selector, examples):
    assert shown_values(page, f"{selector} data") == [one.value for one in examples]
    assert page.texts(f"{selector} td:nth-child(3)") == [
        f"{one.domain}, window {one.window}, position {one.position}"
        for one in examples
    ]
    texts = page.texts(f"{selector} td:nth-child(2)")
    for text, one in zip(texts, examples, strict=True):
        written = one.text.replace("\n", "⏎").replace("\t", "⇥")
        if written.isprintable() and "\\" not in written:
            assert text == written


def check_positions(page, neuron, result):
    """The mean frequency of each range, over all domains and of each."""
    if neuron.row["dead"]:
        return
    shown = shown_values(page, f"{table('Frequency by position')} data")
    ranges = len(shown) // 5
    edges = np.linspace(0, 256, ranges + 1).astype(int)
    columns = [neuron.position_frequency, *neuron.position_frequency_by_domain.values()]
    means = [
        [column[first:last].mean() for column in columns]
        for first, last in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(shown, np.ravel(means), rtol=1e-12)


def test_asks_for_nothing_but_its_own_files(chromium, embedded):
    _, address = embedded
    folder = address.removesuffix("index.html")
    page = chromium.open(address)
    for route in ("#/neurons?dead=yes", "#/layer/1/neuron/5", "#/search?q=the"):
        page.route(route)
    assert [
        each for each in page.requests if not each.startswith((folder, "data:,"))
    ] == []
    assert {"app.js", "uPlot.js", "study.js", "0000.js"} <= {
        urllib.parse.urlsplit(each).path.rpartition("/")[2] for each in page.requests
    }
    assert page.problems == []


def test_table_is_filtered_sorted_and_saved_as_in_pandas(chromium, embedded):
    result, address = embedded
    page = chromium.open(f"{address}#/neurons?frequency=0.05..&dead=no&sort=-mi&page=2")
    assert page.texts("button.chip") == ["frequency from 0.05 ✕", "dead: no ✕"]
    neurons = result.neurons(sort="-mutual_information")
    expected = neurons[neurons["frequency"] >= 0.05]
    places = expected[["layer", "neuron"]].astype(str).values[50:100].tolist()
    rows = page.texts("table.neurons tbody tr")
    assert [row.replace(",", "").split("\t")[:2] for row in rows] == places
    assert page.texts("th[aria-sort=descending]") == ["mutual information ▼"]
    saved = page.evaluate(
        "new Selection(app.study, route.parse(location.hash).query).read()"
        ".then((selection) => table.csv(selection).join(''))"
    )
    read = list(csv.DictReader(io.StringIO(saved)))
    assert list(read[0]) == list(expected.columns)
    for name in (
        "neuron",
        "frequency",
        "mutual_information",
        "domain_entropy",
        "specific",
    ):
        column = [float(row[name] or "nan") for row in read]
        np.testing.assert_array_equal(column, expected[name])
    page.click("button.chip")
    assert page.evaluate("location.hash") == "#/neurons?dead=no&sort=-mi"


def test_previous_and_next_follow_the_table_and_back_returns(chromium, embedded):
    result, address = embedded
    strongest = result.neurons(sort="-mutual_information")
    strongest = strongest[strongest["positional_type"] != "none"][["layer", "neuron"]]
    first, second = strongest.values[:2].tolist()
    query = "?type=positional&sort=-mi"
    page = chromium.open(f"{address}#/layer/{first[0]}/neuron/{first[1]}{query}")
    assert page.texts(".pager .off") == ["Previous"]
    page.click(".pager a")
    where = f"#/layer/{second[0]}/neuron/{second[1]}{query}"
    assert page.evaluate("location.hash") == where
    page.evaluate("history.back()")
    page.wait(
        f"document.querySelector('h1').innerText.startsWith('Layer {first[0]}, neuron {first[1]} ')"
    )


def test_what_was_left_says_nothing_and_the_skip_link_keeps_the_address(
    chromium, embedded
):
    page = chromium.open(embedded[1])
    page.evaluate("location.hash = '#/neurons?sort=-mi'")
    page.evaluate("new Promise((done) => setTimeout(done, 5))")
    page.route("#/search?q=zzzq")
    page.evaluate("Promise.all(app.study.layerTables.values())")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert page.text("#status") == "0 detectors found."
    assert "null" not in page.text()
    page.click("a.skip")
    shown = page.evaluate("[location.hash, document.activeElement.id]")
    assert shown == ["#/search?q=zzzq", "main"]
    for neuron in (1, 2):
        page.route(f"#/layer/0/neuron/{neuron}")
    vocabularies = [one for one in page.requests if one.endswith("data/tokens.js")]
    assert len(vocabularies) == 1
    assert page.problems == []


def test_marks_lead_to_positional_neurons(chromium, embedded):
    result, address = embedded
    page = chromium.open(address)
    marks = page.evaluate(
        "[...document.querySelectorAll('svg a')].map((mark) => mark.getAttribute('href'))"
    )
    # Of more than 400 the strongest are shown.
    strongest = result.positional().nlargest(400, "mutual_information")
    places = strongest[["layer", "neuron"]].values.tolist()
    query = "?type=positional&sort=-mi"
    assert set(marks) == {f"#/layer/{i}/neuron/{j}{query}" for i, j in places}
    page.evaluate(
        "document.querySelector('svg a path').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    page.wait("document.querySelector('h1').innerText.startsWith('Layer ')")
    assert page.evaluate("location.hash") == marks[0]


@pytest.mark.campaign
@cases.each(
    "route, words",
    [
        ("#/layer/9/neuron/1", "has no such layer: its layers are 0 to 3"),
        ("#/layer/1/neuron/1024", "has no such neuron: its neurons are 0 to 1023"),
        ("#/neurons?nothing=1", "There is no column nothing."),
        ("#/neurons?frequency=often", "frequency cannot be often."),
        ("#/neurons?sort=-nothing", "There is no column -nothing to sort by."),
        ("#/elsewhere", "There is no such page."),
        ("#/layer/x/neuron/1", "There is no such page."),
        ("#/?study=other", "This page has no study other."),
        ("#/search?q=%20qqq", "It is no token of this model."),
    ],
)
def test_what_cannot_be_shown_is_said(chromium, embedded, route, words):
    page = chromium.open(embedded[1] + route)
    assert words in page.text()
    page.close()


def test_a_dead_neuron_says_why_nothing_is_shown(chromium, embedded):
    result, address = embedded
    table_of_all = result.neurons()
    dead = table_of_all[table_of_all["dead"]].iloc[0]
    page = chromium.open(f"{address}#/layer/{dead['layer']}/neuron/{dead['neuron']}")
    assert "It is never active on this text" in page.text()
    assert "Highest" not in page.text()


@pytest.mark.campaign
def test_planted_neurons_are_found_by_filter_and_by_search(chromium, planted_page):
    record, address = planted_page
    page = chromium.open(address)
    for n in (1, 2, 3):
        found = studies.read_triggers(record, n)
        page.route(f"#/neurons?detector_{n}=1..")
        rows = page.texts("table.neurons tbody tr")
        assert {tuple(map(int, row.split("\t")[:2])) for row in rows} == set(found)
    for (layer, index), triggers in studies.read_triggers(record, 1).items():
        for (token,) in triggers:
            page.route(f"#/search?q={urllib.parse.quote(f'<id {token}>')}")
            links = page.texts("main td a")
            assert f"layer {layer}, neuron {index}" in links
        page.evaluate(f"document.getElementById('query').value = 'L{layer}N{index}'")
        page.click("#search button")
        shown = page.texts(f"{table('Triggers')} tr")
        for (token,), (active, occurrences) in triggers.items():
            start = f"<id␣{token}>\t{token}\t{active}\t{occurrences}\t"
            assert any(row.startswith(start) for row in shown)
    assert page.problems == []


def test_hostile_tokens_are_text(chromium, tmp_path):
    known_neurons.write(tmp_path)
    page = chromium.open(write_page(tmp_path / "study", tmp_path / "page"))
    page.route("#/layer/1/neuron/0")
    seen = "</script>\\u202e⏎&\\x00"
    assert any(
        row.startswith(f"{seen}\t6\t2\t2\t")
        for row in page.texts(f"{table('Triggers')} tr")
    )
    assert seen in page.texts("mark")
    page.route(f"#/search?q={urllib.parse.quote(known_neurons.HOSTILE)}")
    assert "layer 1, neuron 0" in page.texts("main td a")
    raw = page.evaluate("document.body.innerText")
    assert "\u202e" not in raw and "\0" not in raw
    assert page.problems == []


@pytest.mark.campaign
def test_two_studies_stand_side_by_side(chromium, embedded, planted_page, tmp_path):
    result, _ = embedded
    record, _ = planted_page
    both = {
        "one": opening.open_finished(result.path),
        "again": opening.open_finished(result.path),
        "other": opening.open_finished(record.path),
    }
    page = chromium.open(write.write(both, tmp_path / "page").as_uri())
    assert page.texts("section > h2") == ["one", "again", "other"]
    page.route("#/layer/0/neuron/7?study=again")
    assert page.texts("section > h2") == ["again", "one"]
    first, second = page.texts("section dl")
    assert first == second
    page.route("#/layer/0/neuron/7?study=other")
    assert page.texts("section > h2") == []
    page.evaluate("document.querySelector('#study').value = 'one'")
    page.evaluate("document.querySelector('#study').dispatchEvent(new Event('change'))")
    page.wait("document.querySelector('h1').innerText.endsWith('of one')")


@pytest.mark.campaign
def test_a_layer_that_the_other_study_lacks_stands_alone(chromium, embedded, tmp_path):
    result, _ = embedded
    whole = opening.open_finished(result.path)
    model = jaxneurons.open_model("opt-0.3m", cache=tmp_path / "cache")
    text = jaxneurons.load_text(
        model, window=64, max_tokens=2000, cache=tmp_path / "cache"
    )
    with studies.undrawn():
        jaxneurons.study(model, text, tmp_path / "part", layers=(1, 1), ngrams=False)
    part = opening.open_finished(tmp_path / "part")
    made = write.write({"whole": whole, "part": part}, tmp_path / "page")
    page = chromium.open(f"{made.as_uri()}#/layer/0/neuron/3")
    assert "active on" in page.text()
    page.route("#/layer/1/neuron/3")
    assert page.texts("section > h2") == ["whole", "part"]
    assert page.problems == []


@pytest.mark.campaign
def test_a_missing_or_foreign_file_is_said(chromium, embedded, planted_page, tmp_path):
    result, _ = embedded
    _, foreign = planted_page
    made = write.write({"demo": opening.open_finished(result.path)}, tmp_path / "page")
    address, data = made.as_uri(), made.parent / "data"
    (data / "neurons/001/0000.js").unlink()
    other = urllib.parse.urlsplit(foreign).path.replace(
        "index.html", "data/layers/002.js"
    )
    shutil.copy(other, data / "layers/002.js")
    (data / "layers/003.js").write_text("explorer.receive(")
    spoiled = (data / "layers/000.js").read_text()
    start = spoiled.index('"data": "') + len('"data": "')
    (data / "layers/000.js").write_text(f"{spoiled[:start]}AAAA{spoiled[start + 4 :]}")
    remedy = "write the page again with python scripts/explore.py --study=DIR"
    for route, problem in (
        ("#/layer/1/neuron/3", "data/neurons/001/0000.js is missing"),
        ("#/neurons?layer=2", "data/layers/002.js belongs to another study"),
        ("#/layer/3/neuron/3?layer=3", "data/layers/003.js is damaged"),
        ("#/layer/0/neuron/3", "data/layers/000.js is damaged"),
    ):
        shown = chromium.open(address + route).text()
        assert problem in shown and remedy in shown
    (data / "study.js").unlink()
    assert "data/study.js is missing" in chromium.open(address).text()


@cases.each(
    "name, dark, routes",
    [
        ("embedded", False, ["#/", "#/neurons?dead=no&sort=-mi", "#/search?q=the"]),
        ("embedded", True, ["#/", "#/layer/0/neuron/2"]),
        ("planted_page", False, ["#/layer/0/neuron/2"]),
    ],
    every_day=[("planted_page", True, ["#/", "#/neurons", "#/layer/0/neuron/2"])],
)
def test_axe_finds_no_fault(request, chromium, name, dark, routes):
    source = axe_source()
    page = chromium.open(request.getfixturevalue(name)[1], dark=dark)
    page.evaluate(source)
    for route in routes:
        page.route(route)
        found = page.evaluate(
            "axe.run().then((all) => all.violations.map((each) => [each.id, each.nodes[0].html]))"
        )
        assert found == [], route


def axe_source():
    """axe-core, which a package for another driver brings along."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.skip(
            "no axe-core here. Install it by: pip install --no-deps axe-playwright-python"
        )
    [folder] = found.submodule_search_locations
    return pathlib.Path(folder, "axe.min.js").read_text("utf-8") + "; undefined"

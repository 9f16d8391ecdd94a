"""The paper's numbers beside those of studies named like its models, with values on both sides of every claim."""

import copy
import dataclasses
import json

import pytest

from jaxneurons import errors
from jaxneurons.analysis import claims, reproduction
from jaxneurons.disk import files
from jaxneurons.studies import opening, summary
from tests.support import helpers, small_study

LAYERS = 4
TRIGGERS = {
    (1, 13416): " Title",
    (5, 34220): "weather",
    (10, 35511): "him",
    (10, 23921): "School",
}


def planted(model):
    """A summary of four layers in which every claim about a model holds, and the words of Figure 5."""
    place = reproduction.MODELS.index(model)
    size = min(place, 7)
    dead = 0 if model == "350m" else size
    early = [10 * dead, 8 * dead, 0, 0]
    jump = 2.5 if size >= 6 else 1
    positions = {"oscillatory": 12, "both": 9 - size, "one": 1 + size, "other": 1}
    if model in ("6.7b", "13b", "30b", "66b", "no positions", "50k", "150k"):
        positions["oscillatory"] = 0
    second = {"neurons": list(range(10)), "covered_share": 1.0, "redundant": []}
    return {
        "activation": {"layers": [
            {"layer": layer, "neurons": 100, "dead": early[layer], "dead_share": early[layer] / 96,
             "mean_frequency_alive": 0.2 - 0.01 * place} for layer in range(LAYERS)]},
        "ngrams": {str(n): {"layers": [
            {"layer": layer, "alive": 100, "detectors": [1300, 1350, 1350, 1351][layer] * (1 + size) // 8,
             "coverage_counts": [5, size if n == 1 else 1, 0 if n == 1 else 2 * size, 50, 30, 5],
             "ngrams": 1400, "new_overall": 800, "cumulative": int(1500 * (7 + 0.1 * size) * jump)}
            for layer in range(LAYERS)]} for n in (1, 2, 3)},
        "suppression": {"overall": {"detectors": {"mean_negative": 0.83}}},
        "positions": {"full_windows": 300, "positional": sum(positions.values()),
                      "counts": {kind: {"strong": n, "weak": 0} for kind, n in positions.items()},
                      "layers": [{"strong_oscillatory": second}] * LAYERS},
    }  # fmt: skip


def write(
    path, model, sections, name="", words=TRIGGERS, layers=LAYERS, positions="learned"
):
    """A finished study, as far as it is read here."""
    identity = small_study.IDENTITY
    config = dataclasses.replace(
        identity.model.config, num_hidden_layers=LAYERS, positions=positions
    )
    of_model = dataclasses.replace(
        identity.model, config=config, name=name or f"facebook/opt-{model}"
    )
    identity = dataclasses.replace(
        identity,
        model=of_model,
        corpus=tuple(
            dataclasses.replace(d, tokens=11_000_000) for d in identity.corpus
        ),
        settings=dataclasses.replace(identity.settings, last_layer=layers - 1),
    )
    with opening.creating(path, identity):
        pass
    opening.open_any(path).finish()
    lines = [
        {"layer": layer, "neuron": neuron, "coverage": 1, "triggers": [{"text": text}]}
        for (layer, neuron), text in words.items()
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    files.write_atomically(path / summary.detectors_name(1), content.encode())
    summary.write(path, sections, [summary.detectors_name(1)])
    return path


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    return {
        model: write(folder / model.replace(" ", "_"), model, planted(model))
        for model in reproduction.MODELS
    }


def judged(studies):
    opened = reproduction.open_studies(
        [(model, path) for model, path in studies.items()]
    )
    return {(v.claim.section, v.claim.text): v for v in reproduction.compare(opened)}


# Of each claim a word of its text, the model that goes wrong, and where in its summary it does.
WRONG = {
    "dead neurons in the layer": ("66b", ("activation", "layers", 0, "dead_share"), 0.69),
    "dead neurons grow": ("66b", ("activation", "layers", 0, "dead"), 0),
    "less often": ("66b", ("activation", "layers", 0, "mean_frequency_alive"), 0.9),
    "second half": ("13b", ("activation", "layers", 3, "dead"), 3),
    "1 to 5 tokens": ("66b", ("ngrams", "1", "layers", 0, "coverage_counts"), [0] * 6),
    "50 bigrams": ("30b", ("ngrams", "2", "layers", 0, "coverage_counts"), [0] * 6),
    "50 trigrams": ("30b", ("ngrams", "3", "layers", 0, "coverage_counts"), [0] * 6),
    "token detectors": ("66b", ("ngrams", "1", "layers", 1, "detectors"), 3000),
    "token detectors grow": ("13b", ("ngrams", "1", "layers", 1, "detectors"), 9000),
    "many from 13b": ("30b", ("ngrams", "1", "layers", 0, "detectors"), 5),
    "tokens covered in the layer": ("66b", ("ngrams", "1", "layers", 2, "ngrams"), 1501),
    "tokens covered in all": ("66b", ("ngrams", "1", "layers", 3, "cumulative"), 10_000),
    "covered tokens that no": ("2.7b", ("ngrams", "1", "layers", 3, "new_overall"), 100),
    "suppress": ("1.3b", ("suppression", "overall", "detectors", "mean_negative"), 0.8),
    "bigram detectors grow": ("66b", ("ngrams", "2", "layers", 1, "detectors"), 0),
    "covered bigrams": ("2.7b", ("ngrams", "2", "layers", 3, "new_overall"), 100),
    "trigram detectors grow": ("66b", ("ngrams", "3", "layers", 1, "detectors"), 0),
    "jump": ("30b", ("ngrams", "3", "layers", 3, "cumulative"), 20_000),
    "covered trigrams that": ("2.7b", ("ngrams", "3", "layers", 3, "new_overall"), 100),
    "more than of the next": ("2.7b", ("positions", "counts", "one", "weak"), 20),
    "from 6.7b on": ("6.7b", ("positions", "counts", "oscillatory", "weak"), 1),
    "both extremes": ("66b", ("positions", "counts", "both", "weak"), 20),
    "one extreme": ("66b", ("positions", "counts", "one", "strong"), 0),
    "strong oscillatory neurons in": ("125m", ("positions", "layers", 1, "strong_oscillatory", "neurons"), [1] * 9),
    "that they cover": ("125m", ("positions", "layers", 1, "strong_oscillatory", "covered_share"), 0.98),
    "redundant": ("125m", ("positions", "layers", 1, "strong_oscillatory", "redundant"), [4]),
    "oscillatory neurons without": ("no positions", ("positions", "counts", "oscillatory", "weak"), 1),
    "strong positional neurons": ("no positions", ("positions", "counts"), {"one": {"strong": 0, "weak": 1}, "oscillatory": {"strong": 0, "weak": 0}}),
    "50k and 150k": ("150k", ("positions", "counts", "oscillatory", "strong"), 1),
    "after 300k": ("300k", ("positions", "counts", "oscillatory", "strong"), 0),
    "dead neurons of 350m": ("350m", ("activation", "layers", 0, "dead"), 1),
}  # fmt: skip


def test_all_claims_agree_where_they_hold_and_each_differs_where_it_does_not(
    family, tmp_path
):
    found = judged(family)
    assert {key: v.values for key, v in found.items() if v.verdict != "agrees"} == {}
    texts = [claim.text for claim in claims.CLAIMS]
    for number, (word, (model, path, value)) in enumerate(WRONG.items()):
        sections = copy.deepcopy(planted(model))
        inner = sections
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        study = write(tmp_path / str(number), model, sections)
        changed = judged(family | {model: study})
        [text] = [text for text in texts if text == word] or [
            t for t in texts if word in t
        ]
        [verdict] = [v.verdict for (_, each), v in changed.items() if each == text]
        assert verdict == "differs", text
    few = write(tmp_path / "few", "66b", planted("66b"), words={(1, 13416): "title"})
    verdicts = [
        v for (_, text), v in judged({"66b": few}).items() if "four neurons" in text
    ]
    assert (verdicts[0].verdict, verdicts[0].values) == ("differs", {"66b": 1})


def test_what_is_missing_is_not_studied_and_names_say_which_model_it_is(
    family, tmp_path
):
    only = reproduction.compare(reproduction.open_studies([("", family["66b"])]))
    assert {v.verdict for v in only if v.claim.models == ("66b",)} == {"agrees"}
    assert all(v.verdict == "not studied" for v in only if "66b" not in v.claim.models)
    assert all(v.verdict == "not studied" for v in only if "grow" in v.claim.text)
    small = write(tmp_path / "small", "", planted("125m"), name="opt-1.9m")
    opened = reproduction.open_studies([("opt-125m-deduped", small)])
    assert list(opened) == ["125m"]
    without = write(tmp_path / "without", "", planted("13b"), "a-13b", positions="none")
    assert list(reproduction.open_studies([("", without)])) == ["no positions"]
    some = write(tmp_path / "some", "13b", planted("13b"), layers=3)
    for named, message in (
        ([("", some)], "some has 3 of the model's layers. Study all of them"),
        ([("", small)], "opt-1.9m, which is no model of the paper. Name it as"),
        ([("66b", small), ("", family["66b"])], "two studies are of 66b"),
    ):
        with pytest.raises(errors.UsageError, match=message):
            reproduction.open_studies(named)


def test_the_command_prints_and_writes_the_table_and_a_plan(family, tmp_path):
    given = [f"--study={family[size]}" for size in ("125m", "13b", "30b", "66b")]
    run = helpers.run_script(tmp_path, "reproduce", *given, f"--out={tmp_path / 'out'}")
    assert (
        "| §4.2, Fig. 3a | token detectors (66b) | 5,351 | 66b: 5,351 |" in run.stdout
    )
    rows = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    assert len(rows) == len(claims.CLAIMS)
    assert {row["verdict"] for row in rows} == {"agrees", "not studied"}
    assert rows[0]["not_studied"] == ["350m", "1.3b", "2.7b", "6.7b"]
    table = (tmp_path / "out" / "reproduction.md").read_text()
    assert table in run.stdout and "0 differ" in table
    assert (tmp_path / "out" / "reproduction.png").stat().st_size > 10_000
    plan = helpers.run_script(tmp_path, "reproduce", "--plan", "--gpu=a100").stdout
    for size in claims.SIZES:
        assert f"--model=facebook/opt-{size} --corpora=" in plan

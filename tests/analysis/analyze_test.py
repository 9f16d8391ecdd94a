"""Findings again under other thresholds: all replaced or none, and nothing odd gets through."""

import math
import shutil
from unittest import mock

import pytest
from matplotlib import figure

import jaxneurons
from jaxneurons import errors
from jaxneurons.analysis import analyze, drawing
from jaxneurons.command.progress import Progress
from jaxneurons.figures import paper
from jaxneurons.stats import position_types
from jaxneurons.studies import opening
from jaxneurons.studies import summary as summaries
from tests.support import cases, planted, studies


def undrawn():
    """Draws one empty figure in place of the paper's, which take most of the time."""
    drawn = {"figure": figure.Figure((1, 1))}
    return mock.patch.object(paper, "draw", return_value=drawn)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of two planted layers, and the store of its model."""
    folder = tmp_path_factory.mktemp("analyze")
    model = planted.MODEL.from_json(planted.MODEL.to_json() | {"num_hidden_layers": 2})
    layers = [planted.layer(planted.fires_on(4)), planted.layer(planted.fires_on(5))]
    store = planted.write_store(folder / "store", layers, model)
    source = planted.write_documents(folder / "text.jsonl", [[4, 5, 6, 7] * 9])
    with undrawn():
        return studies.run_study(
            folder / "study", store, [("text", source)], window=8, figures=True
        )


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_interrupted_analysis_changes_nothing(finished, monkeypatch):
    before = files(finished.path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with undrawn(), monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(drawing, "save", interrupted)
        criteria = position_types.PositionCriteria(information_threshold=0.2)
        wanted = analyze.Thresholds(positions=criteria)
        analyze.analyze_again(finished, None, wanted, None)
    assert files(finished.path) == before


def test_the_bar_of_an_analysis_reaches_its_end(finished, tmp_path, capsys):
    with undrawn():
        into = opening.open_any(shutil.copytree(finished.path, tmp_path / "copy"))
        analyze.analyze(
            finished, None, analyze.Thresholds(), into, True, Progress(shown=True)
        )
    said = capsys.readouterr().err
    # Two layers for n = 1, 2, 3 and for positions; one empty figure.
    assert "analysis: 100%" in said and "8/8" in said
    assert "figures: 100%" in said and "1/1" in said


def test_other_thresholds_replace_tables_and_leave_arrays(finished):
    before = files(finished.path)
    criteria = position_types.PositionCriteria(information_threshold=0.2)
    wanted = analyze.Thresholds(positions=criteria)
    with undrawn():
        analyze.analyze_again(finished, None, wanted, None)
    after = files(finished.path)
    # Without the model there is no suppression to show.
    gone = {str(name) for name in before.keys() - after.keys()}
    assert gone == {"figures/figure_5_token_suppression.md"}
    assert after.keys() <= before.keys()
    changed = {str(name) for name in after if after[name] != before[name]}
    assert {"summary.json", "study.json"} <= changed
    arrays = {name.split("/")[1] for name in changed if name.startswith("arrays/")}
    assert arrays == {
        "mean_trigger_projection",
        "positional_type",
        "positional_strength",
    }
    neurons = jaxneurons.open_study(finished.path).neurons()
    assert (neurons["positional_type"] == "none").all()
    assert (neurons["detector_1"] > 0).sum() == 2


def test_figures_of_other_thresholds_go_and_nothing_else(finished):
    former = finished.path / "figures/figure_5_token_suppression.png"
    notes = finished.path / "figures/notes.png"
    for path in (former, notes):
        path.write_bytes(b"")
    with undrawn():
        analyze.analyze_again(finished, None, analyze.Thresholds(), None)
    assert notes.exists() and not former.exists()
    notes.unlink()


def test_few_windows_are_said(finished, caplog):
    with undrawn():
        analyze.analyze_again(finished, None, analyze.Thresholds(), None)
    assert "full windows" in caplog.text


@cases.each("value", [math.nan, math.inf, -1.0])
@cases.each("name", ["information_threshold", "thin_rms", "range_level"])
def test_thresholds_without_meaning_are_refused(name, value):
    with pytest.raises(errors.UsageError, match=name):
        position_types.PositionCriteria(**{name: value})


def test_any_name_can_be_drawn(finished, tmp_path):
    summary = summaries.read(finished.path)
    names = ["$\\bad$", "日本語", "a\nb\x01", "<&>"]
    paths, _ = drawing.draw_studies(
        dict.fromkeys(names, summary), tmp_path / "out", ["1a"]
    )
    assert len(paths) == len(list((tmp_path / "out").iterdir()))
    assert "$\\bad$" in (tmp_path / "out" / "figure_1a_dead_neurons.svg").read_text()


@cases.each(
    "content, error",
    [
        ("[]", errors.StudyError),
        ("{", errors.StudyError),
        ('{"format_version": 1}', errors.StudyError),
        ('{"format": "jaxneurons-summary", "format_version": 2}', errors.StudyError),
        (
            '{"format": "jaxneurons-summary", "format_version": 1}',
            errors.FormatVersionError,
        ),
        ("[" * 100_000, errors.StudyError),
        ('{"format_version": ' + "1" * 5000 + "}", errors.StudyError),
    ],
)
def test_summaries_that_are_none(tmp_path, content, error):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(error, match=r"summary\.json"):
        summaries.read(tmp_path)

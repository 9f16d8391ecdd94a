"""All figures of several studies: each can be read, is captioned, and drawn only if it shows something."""

import copy
import dataclasses

import pytest

from jaxneurons import errors
from jaxneurons.analysis import drawing
from jaxneurons.figures import captions, paper, plots, style
from jaxneurons.stats import position_types
from tests.support import cases, pictures, summaries

HOSTILE_NAMES = ["_hidden", "$\\frac$", "a | *b* <i> `c`", "文" * 40, "a\nb\x01"]


def changed(summary, path, value):
    """A copy with another value under these keys."""
    copied = copy.deepcopy(summary)
    section = copied
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return copied


def without_findings():
    """A study whose neurons are all alive, and that is all."""
    summary = copy.deepcopy(summaries.summary("125m"))
    summary["activation"]["dead"] = 0
    summary["suppression"]["strongest"] = []
    summary["domains"]["specific"] = 0
    summary["positions"] |= {"positional": 0, "ranges_layer": None}
    for section in summary["ngrams"].values():
        for row in section["layers"]:
            row["detectors"] = 0
    return summary


@cases.each("number", [1, 8], every_day=[8])
def test_all_that_is_written_can_be_read_and_no_panel_is_empty(number):
    figures = paper.draw(summaries.family(number))
    assert len(figures) == (14 if number == 8 else 13)
    for canvas in figures.values():
        pictures.assert_texts_fit(canvas)
        for panel in canvas.axes:
            assert panel.lines or panel.collections or panel.texts


@pytest.mark.campaign
def test_names_of_any_kind_are_shown_whole_or_cut_but_never_as_markup():
    studies = {name: summaries.summary("125m") for name in HOSTILE_NAMES}
    wanted = [plots.by_number()[number][0] for number in ("1a", "2", "5", "7", "9")]
    for name, canvas in paper.draw(studies, wanted).items():
        pictures.assert_texts_fit(canvas)
        said = " ".join(pictures.words(canvas))
        for wanted in ("_hidden", "$\\frac$", "a | *b*", "\\u6587", "a\\u000ab"):
            assert wanted in said, name


def test_sizes_of_a_family_are_the_darker_the_larger_and_stand_out_from_white():
    (wanted,) = plots.by_number()["1b"]
    (canvas,) = paper.draw(summaries.family(8), [wanted]).values()
    colors = [line.get_color() for line in canvas.axes[0].lines]
    brightness = [0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] for c in colors]
    assert brightness == sorted(brightness, reverse=True)
    assert brightness[0] < 0.6
    same = dict.fromkeys("abc", summaries.summary("125m"))
    (canvas,) = paper.draw(same, [wanted]).values()
    assert {line.get_color() for line in canvas.axes[0].lines} <= {*style.PALETTE}


def test_figures_without_a_finding_are_not_drawn_but_named():
    studies = {"nothing": without_findings()}
    assert list(paper.draw(studies)) == [
        "figure_1b_activation_frequency",
        "figure_2_unigram_coverage",
        "figure_12_bigram_coverage",
        "figure_13_trigram_coverage",
    ]
    assert paper.tables(studies) == {}
    (note,) = captions.notes(studies)
    assert note == (
        "Figures not drawn: 1a (no dead neurons); 3, 4 and 5 (no token detectors); "
        "7 and 8 (no positional neurons); 9 (no strong oscillatory neurons); "
        "14 and 15 (no trigram detectors); D (no domain-specific neurons)."
    )
    assert note in captions.write(studies)


def test_what_was_not_looked_at_is_no_finding():
    summary = summaries.summary("125m") | {"ngrams": None, "suppression": None}
    (note,) = captions.notes({"a": summary})
    assert (
        note
        == "Figures not drawn: 2, 3, 4, 5, 12, 13, 14 and 15 (n-grams were not counted)."
    )
    (note,) = captions.notes({"a": summaries.summary("125m") | {"suppression": None}})
    assert note.startswith("Figures not drawn: 5 (what detectors promote")
    (note,) = captions.notes({"a": summaries.summary("125m") | {"domains": None}})
    assert note.startswith("Figures not drawn: D (the text is one domain")


def test_a_study_without_a_finding_has_no_panel_and_is_named():
    studies = {"full": summaries.summary("125m"), "none_": without_findings()}
    figures = paper.draw(studies)
    assert len(figures) == 14
    for name in ("figure_4_new_tokens", "figure_8_positional_neurons"):
        assert len(figures[name].axes) == 1
    # Lines share a panel, and one at zero says something.
    assert len(figures["figure_3_token_detectors"].axes[0].lines) == 2
    written = captions.write(studies)
    assert written.count("Left out: none\\_ (no token detectors).") == 2
    assert written.count("Left out: none\\_ (no positional neurons).") == 2


def test_each_caption_says_what_was_studied_and_by_which_thresholds():
    studies = summaries.family(8)
    parts = captions.write(studies).split("\n## ")[1:]
    assert len(parts) == len(plots.PLOTS)
    for part in parts:
        assert "20,000,000 tokens (wikipedia 12,000,000, code 8,000,000)" in part
        assert "windows of 512" in part and "float32" in part
        assert "Thresholds: " in part
    by_number = {part.split(":")[0]: part for part in parts}
    assert "Thresholds: `coverage_share` 0.95." in by_number["Figure 2"]
    assert "`most_unigrams` 5" in by_number["Figure 4"]
    assert "`most_ngrams` 50" in by_number["Figure 15"]
    assert "`draws` 10" in by_number["Figure 5"]
    assert "`entropy_share` 0.01" in by_number["Figure D"]
    for field in dataclasses.fields(position_types.PositionCriteria):
        assert field.name in by_number["Figure 8"]


def test_studies_of_other_thresholds_are_told_apart():
    one = summaries.summary("125m")
    other = changed(one, ["positions", "criteria", "thin_rms"], 0.5)
    other = changed(other, ["ngrams", "1", "criteria", "most_unigrams"], 10)
    other = changed(other, ["study", "dtype"], "bfloat16")
    assert captions.notes({"a": one, "b": one}) == []
    (note,) = captions.notes({"a": one, "b": other})
    for said in ("dtype (a: float32, b: bfloat16)", "most_unigrams (a: 5, b: 10)"):
        assert said in note
    written = captions.write({"a": one, "b": other})
    assert (
        "a: 20,000,000 tokens" in written and "thin\\_rms (a: 0.02, b: 0.5)" in written
    )


def test_positional_neurons_go_by_the_number_asked_for(tmp_path):
    studies = {"base": summaries.summary("125m")}
    drawn = drawing.draw_studies(studies, tmp_path / "out", ["10", "11"])
    assert [path.name for path in drawn.paths] == [
        "figure_10_positional_neurons.png",
        "figure_10_positional_neurons.svg",
        "figure_11_positional_neurons.png",
        "figure_11_positional_neurons.svg",
        "captions.md",
    ]
    assert "Figure 11: " in (tmp_path / "out/captions.md").read_text()
    kept = tmp_path / "out/mine.txt"
    kept.touch()
    with pytest.raises(errors.OutputExistsError, match="is not empty"):
        drawing.draw_studies(studies, tmp_path / "out", ["10"])
    drawn = drawing.draw_studies(studies, tmp_path / "out", ["10"], overwrite=True)
    assert set((tmp_path / "out").iterdir()) == {*drawn.paths, kept}
    drawn = drawing.draw_studies(studies, tmp_path / "both", ["1"])
    assert {path.stem[:9] for path in drawn.paths} == {
        "figure_1a",
        "figure_1b",
        "captions",
    }
    with pytest.raises(errors.UsageError, match="no figure has the number 6"):
        drawing.draw_studies(studies, tmp_path / "none", ["6"])

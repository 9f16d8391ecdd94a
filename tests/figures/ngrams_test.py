"""Figures of n-grams and of suppression: what they show, for usual and for extreme studies."""

import io

import pytest
from matplotlib.backends import backend_agg

from jaxneurons.figures import glyphs, ngrams, suppression
from jaxneurons.stats import ensembles

CLASSES = list(ensembles.COVERAGE_CLASSES)
FIGURES = (ngrams.coverage_classes, ngrams.detector_counts, ngrams.new_ngrams)


def section(layers=4, n=1, detectors=5, first=0):
    """`summary["ngrams"][n]` of a made-up study; layer 1 has nobody alive."""
    rows = [
        {
            "layer": layer,
            "alive": 0 if layer == 1 else 10,
            "coverage_counts": [0] * 6 if layer == 1 else [1, 2, 3, 2, 1, 1],
            "coverage_shares": None if layer == 1 else [0.1, 0.2, 0.3, 0.2, 0.1, 0.1],
            "detectors": detectors,
            "ngrams": 2 * detectors,
            "new_overall": detectors,
            "new_against_previous": None if layer == first > 0 else detectors,
            "cumulative": detectors * (layer + 1),
        }
        for layer in range(first, layers)
    ]
    return {
        "n": n,
        "model_layers": layers,
        "coverage_share": 0.95,
        "coverage_classes": CLASSES,
        "layers": rows,
    }


def words(canvas):
    """All text of a figure's axes and legends, drawn once: a warning while drawing is an error."""
    canvas.savefig(io.BytesIO(), format="png")
    texts = [t.get_text() for axis in canvas.axes for t in axis.texts]
    texts += [axis.get_title() for axis in canvas.axes]
    texts += [t.get_text() for legend in canvas.legends for t in legend.get_texts()]
    return texts


STUDIES = {
    "one": {"opt-125m": section(12)},
    "one layer": {"tiny": section(1)},
    "64 layers": {"opt-66b": section(64, n=3)},
    "8 studies": {f"study {i} $x$ 文": section(4 + i, n=2) for i in range(8)},
    "no detectors": {"none": section(detectors=0), "some": section()},
    "upper layers": {"upper": section(9, first=5)},
}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("studies", STUDIES.values(), ids=STUDIES)
def test_every_panel_shows_something(figure, studies):
    canvas = figure(studies)
    words(canvas)
    for axis in canvas.axes:
        assert axis.patches or axis.lines or axis.texts


def test_bars_of_classes_add_up_to_all_alive_neurons_of_the_first_half():
    canvas = ngrams.coverage_classes({"a": section(7)})
    bars = canvas.axes[0].containers
    assert [container.get_label() for container in bars] == CLASSES
    heights = [sum(c[layer].get_height() for c in bars) for layer in range(4)]
    assert heights == pytest.approx([100, 0, 100, 100])
    assert [c[0].get_y() for c in bars] == pytest.approx([0, 10, 30, 60, 80, 90])
    assert all(len(container) == 4 for container in bars)
    assert words(canvas)[:1] == ["none alive"]


def test_coverage_says_why_a_panel_has_no_bars():
    upper = ngrams.coverage_classes({"a": section(8, first=4)})
    assert "no layer analyzed\nin the first half" in words(upper)
    study = section(4, first=1)
    study["layers"] = study["layers"][:1]
    dead = ngrams.coverage_classes({"a": study})
    assert "no alive neuron\nin the first half" in words(dead)


def test_lines_of_detectors_lie_at_relative_depth():
    canvas = ngrams.detector_counts({"a": section(4), "b": section(2, detectors=7)})
    counts, detected = canvas.axes
    assert [line.get_xdata().tolist() for line in counts.lines] == [
        [0.125, 0.375, 0.625, 0.875],
        [0.25, 0.75],
    ]
    assert counts.lines[1].get_ydata().tolist() == [7, 7]
    assert [line.get_linestyle() for line in detected.lines] == ["-", "--"] * 2
    assert detected.lines[3].get_ydata().tolist() == [7, 14]
    assert words(canvas)[-4:] == ["a", "b", "per layer", "cumulative"]


def test_bars_of_new_ngrams_nest_and_leave_out_what_is_unknown():
    canvas = ngrams.new_ngrams({"a": section(4, first=2)})
    total, previous, overall = canvas.axes[0].containers
    assert [bar.get_height() for bar in total] == [10, 10]
    assert [bar.get_height() for bar in overall] == [5, 5]
    assert [str(bar.get_height()) for bar in previous] == ["nan", "5.0"]


@pytest.mark.parametrize("figure", [ngrams.detector_counts, ngrams.new_ngrams])
@pytest.mark.parametrize("n, term", [(1, "token"), (2, "bigram"), (3, "trigram")])
def test_no_detectors_are_said_in_words(figure, n, term):
    canvas = figure({"a": section(n=n, detectors=0)})
    assert f"no {term} detectors" in words(canvas)


def listed(*pieces, projection=0.08):
    return [
        {"id": index, "text": piece, "projection": projection}
        for index, piece in enumerate(pieces)
    ]


def token_detector(*pieces, layer=1, neuron=13416):
    triggers = [
        {"ids": [index + 1], "text": piece, "activations": 3, "occurrences": 3}
        for index, piece in enumerate(pieces)
    ]
    return {
        "layer": layer,
        "neuron": neuron,
        "coverage": 1,
        "triggers": triggers,
        "promoted": listed("holder", "Ġtitle"),
        "suppressed": listed("ĠTitle", "title", projection=-0.0912),
        "mean_projection": -0.07,
    }


def test_the_table_reads_as_the_papers():
    canvas = suppression.strongest_detectors(
        {"opt-66b": {"strongest": [token_detector("Ġtitle", "title")]}}
    )
    texts = words(canvas)
    assert {"opt-66b", "L=1, n=13416", "Detected tokens", "Ġtitle, title"} <= set(texts)
    assert texts.index("title") > texts.index("ĠTitle") - 4
    assert {"+0.0800", "-0.0912", "-0.0700"} <= set(texts)
    bold = [t.get_text() for t in canvas.axes[0].texts if t.get_fontweight() == "bold"]
    assert bold == ["opt-66b", "L=1, n=13416", "Ġtitle", "title"]
    # As in the paper the most suppressed token is at the very bottom.
    places = {t.get_text(): t.get_position()[1] for t in canvas.axes[0].texts}
    assert places["ĠTitle"] > places["title"]


ODD = [
    "$",
    "$\\frac$",
    "`",
    "a``b",
    "|",
    "文",
    "\x07",
    "🙂",
    "Ċ",
    "Ġ" * 128,
    "W" * 80,
    "",
]


@pytest.mark.parametrize("number", [0, 1, 4])
def test_odd_tokens_are_drawn_inside_their_columns(number):
    found = {
        **token_detector(*ODD, *ODD),
        "promoted": listed(*ODD, projection=12345.678),
        "suppressed": listed(*ODD, projection=-1.234e-12),
    }
    several = [{**found, "layer": layer} for layer in range(number)]
    studies = {"a $ 文": {"strongest": several}, "none": {"strongest": []}}
    canvas = suppression.strongest_detectors(studies, columns=3, tokens=99)
    assert "no token detectors" in words(canvas)
    renderer = backend_agg.FigureCanvasAgg(canvas).get_renderer()
    for panel in canvas.axes:
        boxes = [t.get_window_extent(renderer) for t in panel.texts if t.get_text()]
        assert all(box.x1 <= canvas.bbox.x1 for box in boxes)
        for index, box in enumerate(boxes):
            assert not box.count_overlaps(
                [other.padded(-1) for other in boxes[index + 1 :]]
            )


def test_markdown_has_a_table_a_study():
    text = suppression.strongest_detectors_markdown(
        {
            "opt-66b": {"strongest": [token_detector("Ġtitle", "|", "`", "\n")]},
            "opt-mini": {"strongest": []},
        }
    )
    assert text.splitlines() == [
        "### opt-66b",
        "",
        "| | L=1, n=13416 |",
        "| --- | --- |",
        "| Detected tokens | `Ġtitle`<br>`\\|`<br>`` ` ``<br>`\\u000a` |",
        "| Top promoted | +0.0800 `holder`<br>+0.0800 **`Ġtitle`** |",
        "| Top suppressed | -0.0912 **`title`**<br>-0.0912 `ĠTitle` |",
        "| Mean of triggers | -0.0700 |",
        "",
        "### opt-mini",
        "",
        "no token detectors",
    ]


def test_many_triggers_are_counted_instead_of_listed():
    detector = token_detector(*[f"t{index}" for index in range(30)])
    text = suppression.strongest_detectors_markdown({"a": {"strongest": [detector]}})
    assert "`t11`<br>… 18 more" in text and "`t12`" not in text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Ġtitle", "Ġtitle"),
        ("a b", "a b"),
        ("文", "\\u6587"),
        ("\x07", "\\u0007"),
        ("\U0001f999", "\\U0001f999"),
        ("\ud800", "\\ud800"),
        ("\u00ad", "\\u00ad"),
    ],
)
def test_what_cannot_be_drawn_is_escaped(text, expected):
    assert glyphs.printable(text) == expected

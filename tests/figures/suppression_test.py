"""Figure 5: a table as the paper's that holds any token; picture and Markdown have the same rows."""

from jaxneurons.figures import glyphs, suppression, suppression_table, tokens
from tests.support import cases, pictures

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


def section(*detectors):
    shares = {"detectors": (40, 0.8), "random_tokens": (400, 0.55)}
    overall = {
        group: {"number": number, "mean_negative": share}
        for group, (number, share) in shares.items()
    }
    overall["random_neurons"] = {"number": 0, "mean_negative": None}
    return {"strongest": list(detectors), "overall": overall}


def test_the_table_reads_as_the_papers():
    studies = {"opt-66b": section(token_detector("Ġtitle", "title"))}
    canvas = suppression_table.token_suppression(studies)
    said = pictures.words(canvas)
    assert {"opt-66b", "L=1, n=13416", "Detected tokens", "Ġtitle, title"} <= set(said)
    assert {"+0.0800", "−0.0912", "−0.0700"} <= set(said)
    assert any(
        line.startswith("Of 40 token detectors, 80.0 % suppress") for line in said
    )
    assert "55.0 % for the same neurons" in " ".join(said)
    by_words = {one.get_text(): one for one in pictures.texts(canvas)}
    bold = [w for w, one in by_words.items() if one.get_fontweight() == "bold"]
    assert bold == ["opt-66b", "L=1, n=13416", "Ġtitle", "title"]
    assert by_words["holder"].get_color() != by_words["ĠTitle"].get_color()
    # As in the paper the most suppressed token is at the very bottom.
    assert by_words["ĠTitle"].get_position()[1] > by_words["title"].get_position()[1]


@cases.each("number", [1, 4, 9])
def test_odd_tokens_are_drawn_inside_their_columns(number):
    found = {
        **token_detector(*ODD, *ODD),
        "promoted": listed(*ODD, projection=12345.678),
        "suppressed": listed(*ODD, projection=-1.234e-12),
    }
    tiny = found | {"promoted": found["suppressed"], "mean_projection": 0.0}
    several = [{**found, "layer": layer} for layer in range(number - 1)]
    studies = {"a $ 文": section(*several, tiny)}
    pictures.assert_texts_fit(suppression_table.token_suppression(studies))


def test_markdown_has_the_rows_of_the_picture():
    studies = {"opt-66b": section(token_detector("Ġtitle", "|", "`", "Ċ" + 7 * "Ġ"))}
    assert suppression.as_markdown(studies).splitlines() == [
        "### opt-66b",
        "",
        suppression.overall(studies["opt-66b"]),
        "",
        "| | L=1, n=13416 |",
        "| --- | --- |",
        "| Detected tokens | `Ġtitle`<br>`\\|`<br>`` ` ``<br>`\\n + 7 spaces` |",
        "| Top promoted | +0.0800 `holder`<br>+0.0800 **`Ġtitle`** |",
        "| Top suppressed | −0.0912 **`title`**<br>−0.0912 `ĠTitle` |",
        "| Mean of triggers | −0.0700 |",
    ]
    said = pictures.words(suppression_table.token_suppression(studies))
    for words in ("holder", "Ġtitle", "title", "ĠTitle", "−0.0700"):
        assert words in said


def test_one_study_shows_all_its_detectors_and_several_four_each():
    many = section(*[token_detector("a", layer=layer) for layer in range(6)])
    for studies, expected in (({"a": many}, 6), ({"a": many, "b": many}, 8)):
        canvas = suppression_table.token_suppression(studies)
        headings = [w for w in pictures.words(canvas) if w.startswith("L=")]
        assert len(headings) == expected
        assert suppression.as_markdown(studies).count("L=") == expected


def test_many_triggers_are_counted_instead_of_listed():
    detector = token_detector(*[f"t{index}" for index in range(30)])
    text = suppression.as_markdown({"a": section(detector)})
    assert "`t11`<br>… 18 more" in text and "`t12`" not in text


@cases.each(
    "piece, expected",
    [
        ("Ġtitle", "Ġtitle"),
        ("Ċ", "\\n"),
        ("ĊĠĠĠĠĠĠĠ", "\\n + 7 spaces"),
        ("ĠĠĠĠ", "4 spaces"),
        ("Ġ", "space"),
        ("ĊĊ", "2 × \\n"),
        ("ĉĉx", "2 × \\t + x"),
        ("", ""),
    ],
)
def test_white_space_is_spelled_out(piece, expected):
    assert tokens.readable(piece) == expected


@cases.each(
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

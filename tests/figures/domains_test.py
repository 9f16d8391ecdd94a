"""Domain-specific neurons by layer: every number is drawn, in the colour of its domain."""

from jaxneurons.figures import domains, style
from tests.support import pictures


def section(counts):
    """counts: by domain, of each layer."""
    return {
        "specific": 1,
        "by_domain": {name: sum(numbers) for name, numbers in counts.items()},
        "layers": [
            {"layer": layer, "by_domain": dict(zip(counts, row, strict=True))}
            for layer, row in enumerate(zip(*counts.values(), strict=True))
        ],
    }


def test_bars_are_stacked_by_domain():
    studies = {
        "one": section({"a": [1, 0, 2], "b": [3, 0, 0], "none": [0, 0, 0]}),
        "two": section({"b": [0, 4], **{f"d{n}": [1, n] for n in range(9)}}),
    }
    canvas = domains.specific_neurons(studies)
    first = canvas.axes[0]
    of_a, of_b, *_ = pictures.bars(first)
    assert of_a == [(0, 0, 1), (1, 0, 0), (2, 0, 2)]
    assert of_b == [(0, 1, 3), (1, 0, 0), (2, 2, 0)]
    pictures.assert_texts_fit(canvas)
    (label, *labels) = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert [label, *labels] == ["a", "b", *(f"d{n}" for n in range(9))]
    colors = {tuple(drawn.get_facecolor()[0]) for drawn in first.collections}
    assert len(colors) == len(first.collections)
    assert style.render(canvas, "png").startswith(b"\x89PNG")

"""Figures of positional neurons: every panel says something, and no mark covers another."""

import io
import itertools

import numpy as np
import pytest
from matplotlib import figure, text

from jaxneurons.figures import position_style, positional_neurons, positions, style
from jaxneurons.stats import position_summary, position_types
from tests.support import position_patterns

CRITERIA = position_types.PositionCriteria()
WINDOWS = 1000


def shifted_waves(length: int, neurons: int) -> list[np.ndarray]:
    """Waves of two periods, each shifted on from the last, that cover all positions."""
    wave = position_patterns.square_wave(length, 2)
    shift = max(1, length // (2 * neurons))
    return [np.roll(wave, shift * index) for index in range(neurons)]


def section_of(layers: list[list[np.ndarray]]) -> dict:
    """Section `positions` of a study of neurons with these frequencies, layer by layer."""
    length = len(layers[0][0])
    summaries = [
        position_patterns.analyze_layer(
            layer,
            np.rint(WINDOWS * np.stack(patterns, 1))[None].astype(np.uint16),
            [WINDOWS],
            CRITERIA,
        ).summary
        for layer, patterns in enumerate(layers)
    ]
    return position_summary.summarize(summaries, ["all"], [WINDOWS], length, CRITERIA)


def section_of_counts(counts: list[dict[tuple[str, str], int]]) -> dict:
    """As much of a section as Figure 8 reads, with these numbers of neurons."""
    return {
        "layers": [
            {
                "layer": layer,
                "positional": sum(numbers.values()),
                "counts": {
                    kind: {
                        strength: numbers.get((kind, strength), 0)
                        for strength in position_types.STRENGTHS
                    }
                    for kind in position_types.TYPES
                },
            }
            for layer, numbers in enumerate(counts)
        ]
    }


def full_section() -> dict:
    """A study with every type and strength, and ten shifted waves in layer 1."""
    planted = list(position_patterns.patterns(512).values())
    return section_of([planted, shifted_waves(512, 10), planted[2:]])


def empty_section() -> dict:
    return section_of([[np.zeros(512), np.full(512, 0.5)]] * 2)


def save(canvas: figure.Figure) -> None:
    """Renders as PNG and SVG; a warning is an error here."""
    for kind in ("png", "svg"):
        canvas.savefig(io.BytesIO(), format=kind)


def texts(canvas: figure.Figure) -> list[text.Text]:
    """What is written; an axis also keeps labels that lie out of view."""
    unseen = [
        tick.label1
        for panel in canvas.axes
        for axis in (panel.xaxis, panel.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval())
        <= tick.get_loc()
        <= max(axis.get_view_interval())
    ]
    return [
        one
        for one in canvas.findobj(text.Text)
        if one.get_visible() and one.get_text().strip() and one not in unseen
    ]


def assert_texts_fit(canvas: figure.Figure) -> None:
    """No text covers another or leaves the page."""
    save(canvas)
    canvas.draw_without_rendering()
    drawn = [(one.get_text(), one.get_window_extent()) for one in texts(canvas)]
    clashes = [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(drawn, 2)
        if first.padded(-1).overlaps(second.padded(-1))
    ]
    assert not clashes
    page = canvas.bbox.padded(1)
    assert [name for name, box in drawn if not page.contains(box.x0, box.y0)] == []
    assert [name for name, box in drawn if not page.contains(box.x1, box.y1)] == []


def assert_no_marks_overlap(canvas: figure.Figure) -> None:
    canvas.draw_without_rendering()
    for panel in canvas.axes:
        places, sizes = [], []
        for marks in panel.collections:
            offsets = marks.get_offsets()
            places.append(panel.transData.transform(offsets))
            shape = marks.get_paths()[0].get_extents()
            side = max(shape.width, shape.height) * np.sqrt(marks.get_sizes()[0])
            reach = side + marks.get_linewidths()[0]
            sizes += [reach * canvas.dpi / 72] * len(offsets)
        if not sizes:
            continue
        place, size = np.concatenate(places), np.array(sizes)
        apart = np.abs(place[:, None] - place[None]).max(axis=-1)
        wanted = (size[:, None] + size[None]) / 2
        np.fill_diagonal(apart, np.inf)
        assert np.all(apart >= wanted)
        assert np.all(place[:, 1] - size / 2 >= panel.bbox.y0)


@pytest.mark.parametrize("studies", [1, 2])
def test_patterns_of_every_type_are_drawn(studies):
    named = {f"model {index}": full_section() for index in range(studies)}
    canvas = positions.position_patterns(named)
    assert len(canvas.axes) == 8 * studies
    assert all(len(panel.lines) == 1 for panel in canvas.axes)
    drawn = canvas.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, position_patterns.square_wave(512, 4))
    assert_texts_fit(canvas)


def test_a_pattern_that_is_missing_says_so():
    planted = position_patterns.patterns(512)
    found = section_of([[planted["both", "weak"], planted["one", "strong"]]])
    canvas = positions.position_patterns({"model": found})
    missing = [one for one in texts(canvas) if one.get_text() == "none found"]
    assert len(missing) == 6
    assert {one.get_color() for one in missing} == {position_style.GREY}
    assert_texts_fit(canvas)


@pytest.mark.parametrize("highest", [1, 47, 600])
@pytest.mark.parametrize("layers", [1, 64])
def test_every_neuron_has_a_mark_and_none_covers_another(highest, layers):
    counts = [
        dict.fromkeys(
            itertools.product(position_types.TYPES, position_types.STRENGTHS),
            highest // 8 if layer >= layers - 2 else 0,
        )
        for layer in range(layers)
    ]
    counts[-1][("other", "weak")] += highest % 8
    model = section_of_counts(counts)
    canvas = positional_neurons.positional_neurons({"large": model, "same": model})
    marks = [
        sum(len(group.get_offsets()) for group in panel.collections)
        for panel in canvas.axes
    ]
    assert marks == [sum(layer["positional"] for layer in model["layers"])] * 2
    assert_no_marks_overlap(canvas)
    assert_texts_fit(canvas)


def test_types_differ_in_colour_and_in_mark_and_strengths_in_tint():
    for look in (position_style.TYPE_COLORS, position_style.TYPE_MARKERS):
        assert list(look) == list(position_types.TYPES)
        assert len(set(look.values())) == 4
    faces = {position_style.face(*kind) for kind in position_style.KINDS}
    assert len(faces) == 8
    assert set(position_style.TYPE_COLORS.values()) <= set(style.PALETTE)


def test_one_small_model_leaves_room_for_the_legend():
    model = section_of_counts([{("one", "weak"): 3}] * 4)
    assert_texts_fit(positional_neurons.positional_neurons({"small": model}))


def test_models_share_the_scale_and_fill_the_page():
    counts = [{("both", "strong"): 5}, {("one", "weak"): 3}]
    models = {f"model {index}": section_of_counts(counts) for index in range(5)}
    models["none"] = section_of_counts([{}, {}])
    canvas = positional_neurons.positional_neurons(models)
    assert len(canvas.axes) == 6
    assert len({panel.get_ylim() for panel in canvas.axes}) == 1
    said = [one.get_text() for one in texts(canvas)]
    assert said.count("no positional neurons") == 1
    assert_texts_fit(canvas)


@pytest.mark.parametrize("neurons", [1, 10, 40, 120])
def test_ranges_are_drawn_neuron_by_neuron_above_their_union(neurons):
    model = section_of([shifted_waves(1024, neurons)])
    canvas = positions.position_ranges({"model": model})
    bars = canvas.axes[0].collections
    assert len(bars) == neurons + 1
    joined = model["layers"][0]["strong_oscillatory"]
    for bar, ranges in zip(bars, [*joined["ranges"], joined["union"]], strict=True):
        edges = [path.get_extents() for path in bar.get_paths()]
        assert [[box.x0, box.x1 - 1] for box in edges] == ranges
    assert_texts_fit(canvas)


def test_studies_without_strong_oscillatory_neurons_say_so():
    canvas = positions.position_ranges({"a": full_section(), "b": empty_section()})
    said = [one.get_text() for one in texts(canvas)]
    assert said.count("no strong oscillatory neurons") == 1
    assert any(title.startswith("a\n10 neurons cover 100.0 %") for title in said)
    assert_texts_fit(canvas)

"""Figures of positional neurons: every panel says something, and no mark covers another."""

import itertools

import numpy as np
import pytest
from matplotlib import axes, figure

from jaxneurons.figures import position_style, positional_neurons, positions, style
from jaxneurons.stats import position_summary, position_types
from tests.support import cases, pictures, position_patterns

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
        assert np.all(place[:, 1] + size / 2 <= panel.bbox.y1)


def assert_ticks_stand_between_rows(panel: axes.Axes) -> None:
    """A row begins at each tick: the middles of rows are n/2, 3n/2, 5n/2 … neurons high."""
    rows = {y for marks in panel.collections for _, y in marks.get_offsets()}
    per_row = 2 * min(rows)
    assert all(tick % per_row == 0 for tick in panel.get_yticks())


@pytest.mark.campaign
@cases.each("studies", [1, 2])
def test_patterns_of_every_type_are_drawn(studies):
    named = {f"model {index}": full_section() for index in range(studies)}
    canvas = positions.position_patterns(named)
    assert len(canvas.axes) == 8 * studies
    assert all(len(panel.lines) == 1 for panel in canvas.axes)
    drawn = canvas.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, position_patterns.square_wave(512, 4))
    pictures.assert_texts_fit(canvas)


def test_types_that_no_study_has_take_no_room_and_one_that_some_have_is_said_to_be_missing():
    planted = position_patterns.patterns(512)
    kinds = [("both", "weak"), ("one", "strong")]
    one = section_of([[planted[kind] for kind in kinds]])
    other = section_of([[planted[kinds[1]]]])
    canvas = positions.position_patterns({"one": one, "other": other})
    assert len(canvas.axes) == 4
    assert pictures.words(canvas).count("none") == 1
    pictures.assert_texts_fit(canvas)


@cases.each("highest", [1, 47, 600])
@cases.each("layers", [1, 64])
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
    assert_ticks_stand_between_rows(canvas.axes[0])
    pictures.assert_texts_fit(canvas)


def test_types_differ_in_colour_and_in_mark_and_strengths_in_tint():
    for look in (position_style.TYPE_COLORS, position_style.TYPE_MARKERS):
        assert list(look) == list(position_types.TYPES)
        assert len(set(look.values())) == 4
    faces = {position_style.face(*kind) for kind in position_style.KINDS}
    assert len(faces) == 8
    assert set(position_style.TYPE_COLORS.values()) <= set(style.PALETTE)


def test_one_small_model_leaves_room_for_the_legend():
    model = section_of_counts([{("one", "weak"): 3}] * 4)
    pictures.assert_texts_fit(positional_neurons.positional_neurons({"small": model}))


def test_models_share_the_scale():
    low = [{("both", "strong"): 5}, {("one", "weak"): 3}]
    models = {f"model {index}": section_of_counts(low) for index in range(4)}
    models["high"] = section_of_counts([{("one", "weak"): 30}])
    canvas = positional_neurons.positional_neurons(models)
    assert len({panel.get_ylim() for panel in canvas.axes}) == 1
    pictures.assert_texts_fit(canvas)


@cases.each("neurons", [1, 10, 40, 400])
def test_ranges_are_drawn_neuron_by_neuron_above_their_union(neurons):
    model = section_of([shifted_waves(1024, neurons)])
    canvas = positions.position_ranges({"model": model})
    bars = canvas.axes[0].collections
    assert len(bars) == neurons + 1
    joined = model["layers"][0]["strong_oscillatory"]
    for bar, ranges in zip(bars, [*joined["ranges"], joined["union"]], strict=True):
        edges = [path.get_extents() for path in bar.get_paths()]
        assert [[box.x0, box.x1 - 1] for box in edges] == ranges
    bottom, top = canvas.axes[0].get_ylim()
    assert edges[0].height > 0.015 * (bottom - top)
    pictures.assert_texts_fit(canvas)


def test_many_studies_wrap_and_each_says_what_its_ranges_cover():
    one = section_of([shifted_waves(512, 10)])
    twice = section_of([shifted_waves(512, 4) * 2])
    studies = {f"study {index}": one for index in range(4)} | {"twice": twice}
    canvas = positions.position_ranges(studies)
    assert canvas.get_figwidth() <= style.PAGE
    titles = [panel.get_title() for panel in canvas.axes]
    assert titles[0].startswith("study 0\n10 neurons cover 100.0 %")
    assert titles[4].endswith("8 redundant, each alone (pale)")
    pictures.assert_texts_fit(canvas)

"""Findings over training steps: every number of the summaries at its step, and what cannot be drawn so."""

import numpy as np
import pytest

from jaxneurons import errors
from jaxneurons.analysis import drawing
from jaxneurons.figures import over_training
from jaxneurons.studies import summary
from tests.support import cases, pictures, summaries

# Of each study its size, run and step; None for one that was not trained here.
STUDIES = {
    "late": ("66b", "base", 1000),
    "first": ("350m", "base", 0),
    "early": ("13b", "base", 100),
    "other": ("13b", "wide", 100),
    "wide": ("66b", "wide", 200),
    "again": ("66b", "base", 0),
    "untrained": ("66b", "opt", None),
}


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studied")
    for path, (size, run, step) in STUDIES.items():
        sections = dict(summaries.summary(size))
        sections["model"] = sections["model"] | {"name": run}
        if step is not None:
            sections["model"]["step"] = step
        (folder / path).mkdir()
        summary.write(folder / path, sections, [])
    return folder


def read(folder, *paths):
    named = [path.rpartition("=") for path in paths]
    return drawing.read_checkpoints([(name, folder / path) for name, _, path in named])


def test_each_finding_is_drawn_over_the_steps_of_each_run(studied, tmp_path):
    found = read(studied, "late", "first", "early", "wide", "other")
    canvas = over_training.findings(found)
    dead, frequency, detectors, positional = canvas.axes
    ordered = [summaries.summary(size) for size in ("350m", "13b", "66b")]
    rows = [each["activation"]["layers"] for each in ordered]
    assert dead.lines[0].get_xdata().tolist() == [0, 100, 1000]
    assert dead.lines[1].get_xdata().tolist() == [100, 200]
    shares = [100 * np.mean([row["dead_share"] for row in each]) for each in rows]
    np.testing.assert_allclose(dead.lines[0].get_ydata(), shares)
    means = [
        100
        * np.average(
            [row["mean_frequency_alive"] for row in each],
            weights=[row["neurons"] - row["dead"] for row in each],
        )
        for each in rows
    ]
    np.testing.assert_allclose(frequency.lines[0].get_ydata(), means)
    for n, line in zip("123", detectors.lines, strict=False):
        counts = [
            sum(row["detectors"] for row in each["ngrams"][n]["layers"])
            for each in ordered
        ]
        assert line.get_ydata().tolist() == counts
    counts = [each["positions"]["positional"] for each in ordered]
    assert positional.lines[0].get_ydata().tolist() == counts
    labels = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert labels[:2] == ["base", "wide"]
    pictures.assert_texts_fit(canvas)
    drawn = drawing.draw_training(found, tmp_path / "figures")
    assert [path.name for path in drawn.paths] == [
        "figure_T_findings_over_training.png",
        "figure_T_findings_over_training.svg",
        "captions.md",
    ]
    captions = (tmp_path / "figures" / "captions.md").read_text()
    for threshold in ("`coverage_share` 0.95", "`information_threshold` 0.05"):
        assert threshold in captions


def test_ticks_stand_at_whole_steps(studied):
    canvas = over_training.findings(read(studied, "wide", "other"))
    for panel in canvas.axes:
        panel.set_xlim(4, 6)
        assert all(tick == round(tick) for tick in panel.get_xticks())


@cases.each(
    "paths, message",
    [
        (["late", "untrained"], "untrained is no study of a training run's checkpoint"),
        (["late"], "base has one study. Pass studies of at least two steps"),
        (["late", "first", "x=early"], "x has one study"),
        (["first", "late", "again"], "two studies are of base, step 0. Leave .*again"),
    ],
)
def test_what_cannot_be_drawn_over_steps_is_one_line(studied, paths, message):
    with pytest.raises(errors.UsageError, match=message):
        read(studied, *paths)

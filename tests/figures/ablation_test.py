"""The figure of an ablation: every loss is marked, and what was not measured has no panel."""

import numpy as np

from jaxneurons.figures import ablation, style
from tests.support import pictures

DOMAINS = ["overall", "code_python", "a domain of a name that is longer than its panel"]


def losses(rise):
    return {name: 3.0 + rise * (1 + place) for place, name in enumerate(DOMAINS)}


def by_position(rise):
    noise = np.random.default_rng(0).normal(0, 0.02, 1023)
    return [None, *(3 + rise + noise).tolist()]


def effect(share):
    shares = {"logit": share, "rank": share / 2, "cosine": 1 - share}
    return {"logit": 0.1, "rank": -3.0, "cosine": 0.2, "expected_share": shares}


FOUND = {
    "neurons": 1234,
    "mode": "zero",
    "dtype": "float16",
    "base": losses(0),
    "ablated": losses(0.2),
    "controls": [losses(rise) for rise in (0.01, 0.02, -0.01)],
    "triggers": {
        "detectors": 5351,
        "ablated": effect(0.8),
        "controls": [effect(0.5), effect(0.4), effect(0.45)],
    },
    "positions": {
        "base": by_position(0),
        "ablated": by_position(0.3),
        "controls": [by_position(0.02)] * 3,
    },
}


def test_every_loss_is_marked_and_nothing_is_covered():
    canvas = ablation.losses(FOUND)
    domains, triggers, positions = canvas.axes
    *controls, ablated = domains.lines[1:]
    np.testing.assert_allclose(ablated.get_xdata(), [0.2, 0.4, 0.6])
    assert [round(line.get_xdata()[0], 6) for line in controls] == [0.01, 0.02, -0.01]
    np.testing.assert_allclose(triggers.lines[-1].get_xdata(), [80, 40, 20])
    *_, curve = positions.lines
    assert np.isnan(curve.get_ydata()[0])
    np.testing.assert_allclose(curve.get_ydata()[1:], 0.3)
    assert curve.get_xdata()[-1] == 1019.5
    pictures.assert_texts_fit(canvas)


def test_what_was_not_measured_has_no_panel():
    alone = FOUND | {"triggers": {}, "positions": {}, "controls": []}
    canvas = ablation.losses(alone)
    assert len(canvas.axes) == 1
    (label,) = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert label == "neurons: 1,234, mode zero, float16"
    assert style.render(canvas, "png").startswith(b"\x89PNG")


def test_small_changes_have_labels_that_fit():
    rises = (-0.00086, 0.00053, 0.000001)
    small = {"ablated": losses(0.00084), "controls": [losses(rise) for rise in rises]}
    canvas = ablation.losses(FOUND | small | {"triggers": {}, "positions": {}})
    pictures.assert_texts_fit(canvas)

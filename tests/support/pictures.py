"""What can be read in a Matplotlib figure, and whether it can be read."""

import numpy as np
from matplotlib import axes, figure, text


def texts(canvas: figure.Figure) -> list[text.Text]:
    """All that is written; an axis also keeps labels that are switched off or lie out of view."""
    unseen = [one for panel in canvas.axes for one in _unseen(panel)]
    return [
        one
        for one in canvas.findobj(text.Text)
        if one.get_visible() and one.get_text().strip() and one not in unseen
    ]


def _unseen(panel: axes.Axes) -> list[text.Text]:
    return [
        tick.label1
        for axis in (panel.xaxis, panel.yaxis)
        for tick in axis.get_major_ticks()
        if not panel.axison
        or not min(axis.get_view_interval())
        <= tick.get_loc()
        <= max(axis.get_view_interval())
    ]


def words(canvas: figure.Figure) -> list[str]:
    """The same as strings."""
    return [one.get_text() for one in texts(canvas)]


def assert_texts_fit(canvas: figure.Figure) -> None:
    """No text covers another or leaves the page."""
    canvas.draw_without_rendering()
    drawn = texts(canvas)
    boxes = np.array([one.get_window_extent().padded(-1).extents for one in drawn])
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    meet = np.all((low < boxes[:, 2:]) & (high > boxes[:, :2]), axis=-1)
    pairs = np.argwhere(np.triu(meet, 1))
    assert [(drawn[i].get_text(), drawn[j].get_text()) for i, j in pairs] == []
    page = canvas.bbox.extents
    outside = np.any((boxes[:, :2] < page[:2]) | (boxes[:, 2:] > page[2:]), axis=1)
    assert [drawn[i].get_text() for i in np.flatnonzero(outside)] == []


def bars(panel: axes.Axes) -> list[list[tuple[float, float, float]]]:
    """Middle, bottom and height of each bar, for each colour of bars."""
    boxes = [
        [path.get_extents() for path in drawn.get_paths()]
        for drawn in panel.collections
    ]
    return [[(b.x0 + b.width / 2, b.y0, b.height) for b in row] for row in boxes]

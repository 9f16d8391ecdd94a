"""Text as the figures' font can draw it, in the room there is: tokens hold any characters.

In: text. Out: text without characters that the font lacks, cut to a width.
"""

import functools

from matplotlib import font_manager, textpath

from jaxneurons.figures import style

# Matplotlib brings this font along.
FONT = "DejaVu Sans"
HINTING = 1.06


def printable(text: str) -> str:
    """The text with an escape, such as \\u0007, for each character that cannot be seen or that the font lacks."""
    return "".join(
        c if c.isprintable() and ord(c) in _drawable() else _escape(c) for c in text
    )


@functools.cache
def _drawable() -> frozenset[int]:
    """The characters that the font has, upright and bold."""
    found = [
        font_manager.findfont(font_manager.FontProperties(family=FONT, weight=weight))
        for weight in ("normal", "bold")
    ]
    upright, bold = (set(font_manager.get_font(path).get_charmap()) for path in found)
    return frozenset(upright & bold)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def shortened(piece: str, room: float) -> str:
    """The piece, cut to so many inches."""
    text = printable(piece)
    if inches(text) <= room:
        return text
    while text and inches(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"


def inches(text: str) -> float:
    """The width of the text in bold, as wide as it gets: hinting widens letters on a screen."""
    properties = font_manager.FontProperties(
        family=FONT, weight="bold", size=style.FONT_SIZE
    )
    measure = textpath.text_to_path.get_text_width_height_descent
    points, _, _ = measure(text, properties, ismath=False)
    return HINTING * points / 72

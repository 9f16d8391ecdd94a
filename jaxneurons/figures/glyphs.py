"""Text as the figures' font can draw it, in the room there is: tokens hold any characters.

In: text. Out: text without characters that the font lacks, cut or wrapped to a width.
"""

import functools

from matplotlib import font_manager, ft2font

# Matplotlib brings this font along.
FONT = "DejaVu Sans"
# The sizes of text in points: of most of it, and of legends and scales.
SIZE = 9.0
SMALL = 8.0
# Hinting widens letters on a screen.
HINTING = 1.06


def printable(text: str) -> str:
    """The text with an escape, such as \\u0007, for each character that would not be seen."""
    return "".join(
        c if c.isprintable() and ord(c) in _drawable() else _escape(c) for c in text
    )


def shortened(piece: str, room: float, size: float = SIZE) -> str:
    """The piece, cut to so many inches."""
    text = printable(piece)
    if inches(text, size) <= room:
        return text
    while text and inches(f"{text}…", size) > room:
        text = text[:-1]
    return f"{text}…"


def wrapped(text: str, room: float, size: float = SIZE) -> list[str]:
    """Lines of so many inches in a normal weight, broken between words."""
    lines = [""]
    for word in printable(text).split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and inches(longer, size, "normal") > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def inches(text: str, size: float = SIZE, weight: str = "bold") -> float:
    """The width of the text, in bold unless said otherwise, as wide as it gets."""
    return HINTING * size / 72 * sum(_advance(character, weight) for character in text)


@functools.cache
def _advance(character: str, weight: str) -> float:
    """The width of a character as a share of the font's size."""
    font = _font(weight)
    font.set_size(SIZE, 72)
    return font.load_char(ord(character)).linearHoriAdvance / 2**16 / SIZE


@functools.cache
def _drawable() -> frozenset[int]:
    """The characters that the font has, upright and bold."""
    upright, bold = (set(_font(weight).get_charmap()) for weight in ("normal", "bold"))
    return frozenset(upright & bold)


def _font(weight: str) -> ft2font.FT2Font:
    # All that is not said the user's settings decide.
    found = font_manager.FontProperties(
        family=FONT, style="normal", variant="normal", stretch="normal", weight=weight
    )
    return font_manager.get_font(font_manager.findfont(found))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"

"""Text in, index cards out: a heading and three lines of one width, so that a place says what may stand there.

A card is as long as a window, a byte to a token, and as a document of a text it begins one. In training the text of a
window is T tokens, which are 255 bytes and the separator of documents; in a study, T - 1.
"""

import textwrap
from collections.abc import Iterator

# Lines of a card, and bytes of one with its line break: T = 256 in all.
LINES, WIDTH = 4, 64
# Letters of a heading that fit on a line before a number, whatever their bytes.
_HEADING = 14


def cut(heading: str, text: str, length: int) -> Iterator[str]:
    """The cards of one document.

    Lines end between words or after a hyphen, and are filled up with spaces. The words after the last full card are
    left out, and so is a card in which the end of a line splits a letter, which only words of more than 62 bytes do.

    Args:
        heading: begins the first line of the cards, before their number, with up to 14 letters.
        text: of the document.
        length: bytes of a card in UTF-8: those of its lines, less what is cut from the end of the last one.
    """
    # A letter for each byte.
    heading, text = (
        " ".join(words.split()).encode().decode("latin-1")
        for words in (heading[:_HEADING], text)
    )
    lines = textwrap.wrap(text, WIDTH - 2)
    body = LINES - 1
    for number in range(len(lines) // body):
        title = f"{heading} {number + 1}"
        rows = [title, *lines[number * body : (number + 1) * body]]
        card = "\n".join(row.ljust(WIDTH - 1) for row in rows)[:length]
        try:
            decoded = card.encode("latin-1").decode()
        except UnicodeDecodeError:
            continue
        yield decoded

"""Arrays and values as scripts of a page: `file://` lets a page read no other files.

In: values, or arrays by name. Out: the text of a script that hands them to `explorer.receive`, with
the study that they belong to, so that the page notices files of another one.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

# How the page's typed arrays call the types that it can hold exactly.
KINDS = ("f8", "f4", "i4", "i2", "i1", "u4", "u2", "u1")


def script(study: str, path: str, content: Any) -> bytes:
    """A script of values, in ASCII; the same bytes for equal values.

    Args:
        study: what tells the study from others; "" is any.
        path: of the script in the page's folder, without its suffix.
        content: what JSON can hold. NaN raises ValueError.
    """
    parts = (
        json.dumps(each, sort_keys=True, allow_nan=False)
        for each in (study, path, content)
    )
    # "</script>" in a token must not end a script, wherever somebody puts this one.
    return f"explorer.receive({','.join(parts)});\n".replace("<", "\\u003c").encode(
        "ascii"
    )


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays as `script` takes them: their names, types and shapes, and the bytes of all in one string.

    Those of large elements come first, so that each begins at a multiple of its elements' size.

    Args:
        arrays: by name; integers are kept in the smallest type that holds them.
    """
    exact = {name: _smallest(array) for name, array in arrays.items()}
    names = sorted(exact, key=lambda name: -exact[name].itemsize)
    content = b"".join(exact[name].tobytes() for name in names)
    compressed = gzip.compress(content, compresslevel=6, mtime=0)
    return {
        "fields": [
            [name, exact[name].dtype.str[1:], exact[name].shape] for name in names
        ],
        "data": base64.b64encode(compressed).decode("ascii"),
    }


def _smallest(array: np.ndarray) -> np.ndarray:
    """The same values, little-endian, in the smallest of the `KINDS`; integers beyond all of them as float64."""
    if array.dtype.kind == "f":
        return array.astype(f"<f{array.itemsize}")
    if array.dtype.kind == "b":
        return array.astype("<u1")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in sorted(KINDS, key=lambda kind: (kind[1], kind[0] == "i")):
        if kind[0] != "f":
            limits = np.iinfo(kind)
            if limits.min <= low and high <= limits.max:
                return array.astype(f"<{kind}")
    return array.astype("<f8")

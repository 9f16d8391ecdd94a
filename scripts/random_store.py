"""Writes a layer store of random weights in the shape of a published model, to measure memory and streaming on.

    python scripts/random_store.py --size=opt-2.7b --store=/tmp/random-2.7b

Two minutes and 5.3 GB of disk for opt-2.7b, two seconds for opt-125m.
"""

from absl import flags

from jaxneurons.command import common_flags, script
from jaxneurons.config import DTYPES, PUBLISHED
from jaxneurons.disk import places

_SIZE = flags.DEFINE_enum(
    "size", "opt-125m", list(PUBLISHED), "Published model whose shape the store has."
)
_DTYPE = flags.DEFINE_enum(
    "dtype", "float16", DTYPES, "Floating-point type of the weights."
)
_STORE = common_flags.required("store", "DIR", "Directory to write the store to.")


@script.command
def main() -> None:
    from jaxneurons.store import random_model

    path = places.local(_STORE.value)
    random_model.write(path, PUBLISHED[_SIZE.value], dtype=_DTYPE.value)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

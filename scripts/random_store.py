"""Writes a layer store of random weights in the shape of a published model, to measure memory and streaming on.

    python scripts/random_store.py --size=opt-2.7b --store=/tmp/random-2.7b

Two minutes and 5.3 GB of disk for opt-2.7b, two seconds for opt-125m.
"""

import pathlib

from absl import flags

from jaxneurons import config
from jaxneurons.benchmark import random_store
from jaxneurons.command import script
from jaxneurons.store import format

_SIZE = flags.DEFINE_enum("size", "opt-125m", list(config.PUBLISHED), "The shape.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float16", list(format.DTYPES), "The type of the weights."
)
_STORE = flags.DEFINE_string("store", None, "Directory to write.", required=True)


def main() -> None:
    path = pathlib.Path(_STORE.value)
    random_store.write(path, config.PUBLISHED[_SIZE.value], _DTYPE.value)
    print(f"wrote {path}")


if __name__ == "__main__":
    script.run(main)

"""Converts a Hugging Face OPT checkpoint into a layer store.

    python scripts/convert_opt.py --hf=facebook/opt-125m --store=stores/opt-125m

Takes 11 seconds for opt-125m (0.25 GB) and a minute for opt-1.3b (2.6 GB, 0.9 GiB of memory) on 2
busy CPU cores, download aside. Expect `stores/opt-125m: 196 arrays, float16`.
"""

import os
import sys

from absl import flags

from convert import hub, opt
from jaxneurons.command import script
from jaxneurons.store import reading

HF = flags.DEFINE_string(
    "hf", None, "directory in Hugging Face format, or an id on its hub", required=True
)
STORE = flags.DEFINE_string("store", None, "where to write the store", required=True)
DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    ["float16", "bfloat16", "float32"],
    "type to store weights in; by default the one they have",
)
ALLOW_NONFINITE = flags.DEFINE_bool(
    "allow_nonfinite", False, "keep NaN and infinity, and list them in the manifest"
)
REVISION = flags.DEFINE_string("revision", None, "branch, tag or commit on the hub")


def main() -> None:
    directory = hub.resolve(HF.value, REVISION.value)
    opt.convert(
        directory,
        STORE.value,
        dtype=DTYPE.value,
        allow_nonfinite=ALLOW_NONFINITE.value,
        name=None if os.path.isdir(HF.value) else HF.value,
        progress=_show if sys.stderr.isatty() else None,
    )
    written = reading.open_store(STORE.value)
    print(f"{STORE.value}: {len(written.manifest['arrays'])} arrays, {written.dtype}")


def _show(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done}/{total} arrays", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    script.run(main)

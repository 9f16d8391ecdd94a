"""Converts a Hugging Face checkpoint of OPT, Galactica or GPT-2 into a layer store.

    python scripts/convert_opt.py --hf=facebook/opt-125m --store=stores/opt-125m

Takes 11 seconds for opt-125m (0.25 GB) and a minute for opt-1.3b (2.6 GB, 0.9 GiB of memory) on 2
busy CPU cores, download aside. Expect `stores/opt-125m: 196 arrays, float16`.
"""

from absl import flags

from jaxneurons.command import common_flags, progress, script
from jaxneurons.config import DTYPES

_HF = common_flags.required(
    "hf",
    "MODEL",
    "Model to convert: a directory in Hugging Face format, or an id on its hub.",
)
_STORE = common_flags.required(
    "store",
    "DIR",
    "Directory to write the store to, or its address in an object store, gs://BUCKET/PATH or s3://BUCKET/PATH.",
)
_REMOTE_SECONDS = common_flags.remote_seconds()
_DTYPE = flags.DEFINE_enum(
    "dtype",
    None,
    DTYPES,
    "Floating-point type to store weights in. Default: the type that they have.",
)
_ALLOW_NONFINITE = flags.DEFINE_bool(
    "allow_nonfinite",
    False,
    "Whether to keep NaN and infinity in weights; the manifest lists where they are.",
)
_IGNORE_ATTRIBUTES = common_flags.ignore_attributes()
_REVISION = common_flags.revision()


@script.command
def main() -> None:
    from convert import hub, opt
    from jaxneurons.disk import files, places
    from jaxneurons.store import reading

    # Before anything is downloaded.
    files.refuse_existing(places.parse(_STORE.value), "a store")
    with progress.Progress() as shown:
        shown.log_line(f"converting {_HF.value} to {_STORE.value}")
        opt.convert(
            hub.resolve(_HF.value, _REVISION.value),
            _STORE.value,
            dtype=_DTYPE.value,
            allow_nonfinite=_ALLOW_NONFINITE.value,
            ignore_attributes=_IGNORE_ATTRIBUTES.value,
            progress=shown.counter("converting", "arrays"),
        )
    written = reading.open_store(_STORE.value)
    print(f"{_STORE.value}: {len(written.manifest['arrays'])} arrays, {written.dtype}")


if __name__ == "__main__":
    main()

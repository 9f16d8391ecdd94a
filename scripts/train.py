r"""Trains a model of OPT's or GPT-2's kind from scratch on text, and exports its checkpoints.

    python scripts/train.py --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/ --suffix=.py \
        --keep=500,1500 --out=models/small
    python scripts/train.py --corpus=wikipedia=wiki.jsonl.gz --size=opt-125m --remat --out=models/125m
    python scripts/train.py --out=models/small --step=1500 --export=models/small-1500

The same command again continues a run that was interrupted, bit for bit on a CPU. The defaults
train a model of 2.6M parameters; 100 of its steps on the embedded Wikipedia and mathematics texts, with
--accumulation=8, took 2.4 minutes on two busy CPU cores and ended at a loss of 5.4 nats on held-out text.
"""

import pathlib

from absl import flags

from jaxneurons import errors
from jaxneurons.command import script
from jaxneurons.disk import places
from jaxneurons.training import options

flags.adopt_module_key_flags(options)

_EXPORT = flags.DEFINE_string(
    "export",
    None,
    "Directory to write a checkpoint of the run in --out to; nothing is trained then.",
)
_EXPORT_FORMAT = flags.DEFINE_enum(
    "export_format",
    "huggingface",
    ["huggingface", "store"],
    "Format of the exported checkpoint.",
)
_EXPORT_DTYPE = flags.DEFINE_enum(
    "export_dtype",
    "float32",
    ["float16", "float32"],
    "Floating-point type of the exported checkpoint.",
)
_STEP = flags.DEFINE_integer(
    "step", None, "Step of the checkpoint to export. Default: the last one.", 0
)


@script.command
def main() -> None:
    if _EXPORT.value is not None:
        _export(places.local(options.OUT.value), places.local(_EXPORT.value))
        return
    for flag in (_STEP, _EXPORT_FORMAT, _EXPORT_DTYPE):
        if flag.present:
            raise errors.UsageError(f"--{flag.name} needs --export.")
    progress = options.start(f"training a model in {options.OUT.value}")
    from jaxneurons import processes
    from jaxneurons.training import train

    trained = train.train(options.request(), progress)
    if processes.is_first():
        print(f"trained {trained.path}")


def _export(out: pathlib.Path, path: pathlib.Path) -> None:
    options.start(f"exporting a checkpoint of {out} to {path}")
    from convert import export as huggingface
    from jaxneurons.training import export

    if _EXPORT_FORMAT.value == "store":
        export.write_store(out, _STEP.value, path, _EXPORT_DTYPE.value)
    else:
        store = export.store_of_checkpoint(out, _STEP.value, options.cache_directory())
        huggingface.write_huggingface(store, path, _EXPORT_DTYPE.value)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

r"""Trains an OPT model from scratch on text, and exports its checkpoints.

    python scripts/train.py --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/ \
        --keep=500,1500 --out=models/small
    python scripts/train.py --corpus=wikipedia=wiki.jsonl.gz --size=opt-125m --remat --out=models/125m
    python scripts/train.py --out=models/small --step=1500 --export=models/small-1500

The same command again goes on with a run that was interrupted, bit for bit on a CPU. The defaults
train a model of 2.6M parameters; 100 of its steps on the embedded Wikipedia and mathematics texts, with
--accumulation=8, took 2.4 minutes on two busy CPU cores and ended at a loss of 5.4 nats on held-out text.
"""

import pathlib

from absl import flags

from convert import export as huggingface
from jaxneurons import errors
from jaxneurons.command import compilation_cache, script
from jaxneurons.training import export, options, run

flags.adopt_module_key_flags(options)
flags.adopt_module_key_flags(compilation_cache)

EXPORT = flags.DEFINE_string(
    "export", None, "Write a checkpoint of the run in --out there, and train nothing."
)
EXPORT_FORMAT = flags.DEFINE_enum(
    "export_format", "huggingface", ["huggingface", "store"], "What to write."
)
EXPORT_DTYPE = flags.DEFINE_enum(
    "export_dtype", "float32", ["float16", "float32"], "The type of what is written."
)
STEP = flags.DEFINE_integer(
    "step", None, "Of the checkpoint to export; default: the last.", 0
)


def main() -> None:
    compilation_cache.enable(options.cache_directory())
    if EXPORT.value is None:
        for flag in (STEP, EXPORT_FORMAT, EXPORT_DTYPE):
            if flag.present:
                raise errors.UsageError(f"--{flag.name} is about what to --export")
        record = run.train(options.request())
        print(f"trained {record.path}")
        return
    out, path = pathlib.Path(options.OUT.value), pathlib.Path(EXPORT.value)
    if EXPORT_FORMAT.value == "store":
        export.write_store(out, STEP.value, path, EXPORT_DTYPE.value)
    else:
        model = export.store_of_checkpoint(out, STEP.value, options.cache_directory())
        huggingface.write_huggingface(model, path, EXPORT_DTYPE.value)
    print(f"wrote {path}")


if __name__ == "__main__":
    script.run(main)

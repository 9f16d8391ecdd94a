r"""Trains three models that differ in one thing each: base, without positions, with post-LayerNorm.

    python scripts/train_family.py --corpus=wikipedia=wiki.jsonl.gz --corpus=code=python_files/ --suffix=.py \
        --keep=500,1500 --out=models/family

Takes the flags of train.py. The models are written to the folders base, no_positions and post_layer_norm
of --out, and share tokenizer, seed and order of data. The same command again continues an interrupted run.
Takes three times as long as train.py does.
"""

from absl import flags

from jaxneurons import errors
from jaxneurons.command import script
from jaxneurons.training import options

flags.adopt_module_key_flags(options)


@script.command
def main() -> None:
    for flag in (options.POSITIONS, options.LAYER_NORM):
        if flag.present:
            raise errors.UsageError(f"--{flag.name}: the family has a model of each.")
    progress = options.start(f"training a family of models in {options.OUT.value}")
    from jaxneurons import processes
    from jaxneurons.training import family

    trained = family.train_family(options.request(), progress)
    if processes.is_first():
        print(*[f"trained {path}" for path in trained], sep="\n")


if __name__ == "__main__":
    main()

"""Draws the paper's figures for one study or several side by side.

    python scripts/figures.py --study=studies/opt-125m --study=studies/opt-1.3b --out=figures

With --training it draws instead how findings change over the steps of a training run, from studies of its
checkpoints, made by study.py --step:

    python scripts/figures.py --training --study=studies/step-500 --study=studies/step-1500 --out=figures

Takes seconds: it reads the studies' summary.json and nothing else.
"""

from absl import flags

from jaxneurons import errors
from jaxneurons.command import common_flags, named_paths, script

_STUDY = common_flags.required_list(
    "study",
    "DIR",
    "Directory of a finished study, also gs://BUCKET/PATH or s3://BUCKET/PATH, or NAME=DIR to give it another name "
    "than its model's",
)
_REMOTE_SECONDS = common_flags.remote_seconds()
_OUT = common_flags.required(
    "out",
    "DIR",
    "Directory to write the figures to. It must be new or empty, unless --overwrite is given.",
)
_FIGURE = flags.DEFINE_list(
    "figure",
    [],
    "Numbers of the figures to draw, such as 1a,8. 10, 11 and 16 are Figure 8 under the number that "
    "the paper gives it where it compares trained models, and for the 350m model. Default: all "
    "figures but these three.",
)
_TRAINING = flags.DEFINE_bool(
    "training",
    False,
    "Whether to draw findings over training steps. A name given to a study is then that of its run.",
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite",
    False,
    "Whether to replace the figures in --out. Other files there stay.",
)


@script.command
def main() -> None:
    from jaxneurons.analysis import drawing
    from jaxneurons.disk import places

    studies, out = named_paths.studies(_STUDY.value), places.local(_OUT.value)
    if _TRAINING.value:
        if _FIGURE.value:
            raise errors.UsageError("--training draws one figure: leave out --figure.")
        summaries = drawing.read_checkpoints(studies)
        drawn = drawing.draw_training(summaries, out, _OVERWRITE.value)
    else:
        summaries = drawing.read_summaries(studies)
        drawn = drawing.draw_studies(summaries, out, _FIGURE.value, _OVERWRITE.value)
    print(f"wrote {len(drawn.paths)} files:", *drawn.paths, sep="\n  ")
    for note in drawn.notes:
        print(note)


if __name__ == "__main__":
    main()

"""Draws the paper's figures for one study or several side by side.

    python scripts/figures.py --study=studies/opt-125m --study=studies/opt-1.3b --out=figures

Takes seconds: it reads the studies' summary.json and nothing else.
"""

import pathlib

from jaxneurons.command import common_flags, named_paths, script

_STUDY = common_flags.required_list(
    "study",
    "DIR",
    "Directory of a finished study, or NAME=DIR to give it another name than its model's",
)
_OUT = common_flags.required(
    "out", "DIR", "Directory to write the figures to. It must be new or empty."
)


@script.command
def main() -> None:
    from jaxneurons.analysis import drawing

    summaries = drawing.read_summaries(named_paths.studies(_STUDY.value))
    paths = drawing.draw_studies(summaries, pathlib.Path(_OUT.value))
    print(f"wrote {len(paths)} figures:", *paths, sep="\n  ")


if __name__ == "__main__":
    main()

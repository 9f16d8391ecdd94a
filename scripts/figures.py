"""Draws the paper's figures for one study or several side by side.

    python scripts/figures.py --study=studies/opt-125m --study=studies/opt-1.3b --out=figures

A study is called by its model's name; `--study=NAME=DIR` gives another. Takes seconds: it reads the
studies' summary.json and nothing else.
"""

import pathlib

from absl import flags

from jaxneurons.analysis import drawing
from jaxneurons.command import script

_STUDY = flags.DEFINE_multi_string(
    "study", None, "DIR or NAME=DIR of a finished study, repeatable.", required=True
)
_OUT = flags.DEFINE_string(
    "out", None, "Directory to write; must not exist, or be empty.", required=True
)


def main() -> None:
    summaries = drawing.read_summaries(_STUDY.value)
    paths = drawing.draw_studies(summaries, pathlib.Path(_OUT.value))
    print(f"wrote {len(paths)} figures:", *paths, sep="\n  ")


if __name__ == "__main__":
    script.run(main)

"""Checks that this machine's accelerator computes what its CPU computes, and measures how fast.

    python scripts/gpu_check.py --out=gpu.json
    python scripts/gpu_check.py --toy

Runs within --minutes, whatever part fails, and prints a table last. Without an accelerator it runs
at toy sizes, about a minute on two CPU cores, and says of what needs a GPU that it was not run.
"""

import pathlib
import sys

from absl import flags

from jaxneurons.command import script

_MINUTES = flags.DEFINE_float(
    "minutes", 9.0, "Time that all parts together may take.", lower_bound=0.0
)
_TOY = flags.DEFINE_bool(
    "toy",
    None,
    "Whether to use small sizes. Default: only where there is no accelerator.",
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all figures to. Default: none is written."
)


@script.command
def main() -> None:
    from jaxneurons.benchmark.gpu import run

    report = run.run(
        _TOY.value,
        60 * _MINUTES.value,
        out=pathlib.Path(_OUT.value) if _OUT.value else None,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(report)


if __name__ == "__main__":
    main()

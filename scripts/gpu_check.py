"""Checks that this machine's accelerator computes what its CPU computes, and measures how fast.

    python scripts/gpu_check.py --out=gpu.json
    python scripts/gpu_check.py --parts=float64,step
    python scripts/gpu_check.py --toy

Runs within --minutes, whatever part fails, and prints a table last. Without an accelerator it fails, but for --toy:
small sizes, some minutes on two CPU cores, which say of what needs a GPU that it was not run.
"""

import sys

from absl import flags

from jaxneurons.command import script
from jaxneurons.disk import places

_MINUTES = flags.DEFINE_float(
    "minutes", 9.0, "Time that all parts together may take.", lower_bound=0.0
)
_TOY = flags.DEFINE_bool(
    "toy", False, "Whether to use small sizes, for which a CPU will do."
)
_PARTS = flags.DEFINE_list(
    "parts",
    [],
    "Parts to run, separated by commas, of float64, attention, integers, ceilings, copies, step, end, study, "
    "streaming and transformers. Default: all, in this order.",
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all figures to. Default: none is written."
)


@script.command
def main() -> None:
    from jaxneurons.benchmark.gpu import run

    report = run.run(
        _TOY.value,
        _PARTS.value,
        60 * _MINUTES.value,
        out=places.local(_OUT.value) if _OUT.value else None,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(report)


if __name__ == "__main__":
    main()

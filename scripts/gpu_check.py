"""Checks that this machine's accelerator computes what its CPU computes, and measures how fast.

    python scripts/gpu_check.py --out=gpu.json
    python scripts/gpu_check.py --parts=float64,step
    python scripts/gpu_check.py --toy

Runs within --minutes, whatever part fails, and prints a table last. It fails if integers differ from the CPU's, if
float32 or attention is less exact than it should be, or if a part does not come to its end; and without an
accelerator, but for --toy: small sizes, some minutes on two CPU cores, which say of what needs a GPU that it was not
run.
"""

import os
import sys

from absl import flags

from jaxneurons import errors
from jaxneurons.command import script
from jaxneurons.disk import files, places

_MINUTES = flags.DEFINE_float(
    "minutes", 9.0, "Time that all parts together may take.", lower_bound=0.0
)
_TOY = flags.DEFINE_bool(
    "toy", False, "Whether to use small sizes, for which a CPU will do."
)
_PARTS = flags.DEFINE_list(
    "parts",
    None,
    "Parts to run, separated by commas, of float64, attention, integers, ceilings, copies, step, precision, end, "
    "study, streaming, training and transformers. Default: all, in this order.",
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all figures to. Default: none is written."
)


@script.command
def main() -> None:
    from jaxneurons.benchmark.gpu import run

    out = places.local(_OUT.value) if _OUT.value else None
    if out:
        files.prepare(out, "a check")
    # Integers are compared with the CPU's, which must be there beside the accelerator.
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        os.environ["JAX_PLATFORMS"] = f"{platforms},cpu"
    report, wrong, content = run.run(
        _TOY.value,
        _PARTS.value,
        60 * _MINUTES.value,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(report, flush=True)
    if out:
        files.write_atomically(out, content)
    if wrong:
        raise errors.JaxneuronsError(
            f"failures: {wrong}. The lines below the table say which."
        )


if __name__ == "__main__":
    main()

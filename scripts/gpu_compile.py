"""Compiles the programs of a study for a GPU without having one, and holds them against the plan of memory.

    python scripts/gpu_compile.py --target=h100 --size=opt-125m --size=opt-66b

It needs XLA's compiler for CUDA, which the extra cuda13 brings, and no GPU. A program of a large model takes up to
some minutes. It fails if one takes more temporaries than planned, writes a mask in 32 bits, or does not add the
bias and apply ReLU in the product.
"""

import os
import sys

from absl import flags

from jaxneurons import config, errors
from jaxneurons.benchmark.gpu import targets
from jaxneurons.command import script
from jaxneurons.disk import files, places

_TARGET = flags.DEFINE_enum(
    "target", "h100", list(targets.TARGETS), "GPU to compile for."
)
_SIZES = flags.DEFINE_multi_enum(
    "size",
    None,
    list(config.PUBLISHED),
    "Size to compile. Default: all published sizes of OPT.",
)
_DTYPES = flags.DEFINE_multi_enum(
    "dtype", ["float16", "float32"], config.DTYPES, "Floating-point type to compute in."
)
_PRECISION = flags.DEFINE_enum(
    "precision", "highest", list(config.PRECISIONS), "How float32 is multiplied."
)
_OUT = flags.DEFINE_string(
    "out", None, "JSON file to write all figures to. Default: none is written."
)


@script.command
def main() -> None:
    # Kernels are chosen by timing, which takes a GPU; without Triton's products it is clear what is left to choose.
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{given} --xla_gpu_enable_triton_gemm=false".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
    from jaxneurons.benchmark.gpu import compiling

    out = places.local(_OUT.value) if _OUT.value else None
    if out:
        files.prepare(out, "what was compiled")
    report, faulty, content = compiling.run(
        _TARGET.value,
        _SIZES.value or list(config.PUBLISHED),
        _DTYPES.value,
        _PRECISION.value,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(report, flush=True)
    if out:
        files.write_atomically(out, content)
    if faulty:
        raise errors.JaxneuronsError(
            f"programs with faults: {faulty}. The table says which."
        )


if __name__ == "__main__":
    main()

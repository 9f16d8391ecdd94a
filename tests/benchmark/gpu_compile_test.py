"""Programs for a GPU that is not there: what is read of a compiled one, and all of one size where the compiler is."""

import importlib.util
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxneurons import devices, errors
from jaxneurons.benchmark.gpu import compilation, compiling, programs, sizes
from jaxneurons.counting import packed_bits
from tests.support.helpers import REPOSITORY, run_script

HAS_COMPILER = any(
    importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)
)


def test_a_mask_in_32_bits_is_seen_and_not_inside_a_kernel():
    mask = jax.ShapeDtypeStruct((64, 96), bool)

    def widened(mask):
        wide = jax.lax.optimization_barrier(mask.astype(jnp.int32))
        return wide * wide.sum()

    def read(function):
        return compilation.read(jax.jit(function).lower(mask).compile())

    assert read(widened).integers == 64 * 96
    packed = read(lambda mask: packed_bits.pack(mask, 3))
    assert packed.integers == 64 * 3 and packed.kernels >= 1
    assert not packed.has_relu and packed.calls == {}


@pytest.mark.skipif(HAS_COMPILER, reason="there is a compiler to compile with")
def test_without_a_compiler_the_script_says_what_to_install(tmp_path):
    out = tmp_path / "programs.json"
    done = run_script(tmp_path, "gpu_compile", "--size=opt-125m", f"--out={out}")
    assert (done.returncode, out.exists()) == (2, False)
    assert "cuda13" in done.stderr.splitlines()[-1]


def test_programs_are_held_against_the_plan():
    """On a CPU, whose compiler does not add the bias in the product: the fault is seen."""
    found = list(
        compiling.compile_all(
            devices.make_mesh(1), sizes.TOY.shapes, ["float32"], "highest"
        )
    )
    names = [each.name for each in found]
    assert names[:3] == [
        "step, nothing counted",
        "step, everything counted",
        "attention",
    ]
    assert names[-1] == "3-grams covering" and len(names) == 3 + 3 + 9
    for each in found:
        is_step = each.name.startswith("step")
        fault = "bias and ReLU are apart from the product"
        assert (fault in each.faults) == is_step
        # Of n-grams it is a block of these neurons, not all that blocks may take.
        assert 0 < each.planned < 2**24
        assert each.dtype == ("float32" if is_step or each.name == "attention" else "")


@pytest.mark.skipif(HAS_COMPILER, reason="XLA's compiler for CUDA is here")
def test_without_the_compiler_one_line_says_what_to_install():
    with pytest.raises(errors.UsageError, match="no compiler for h100 .* extra cuda13"):
        programs.make_mesh("h100")


@pytest.mark.campaign
@pytest.mark.skipif(not HAS_COMPILER, reason="wants the extra cuda13")
def test_all_programs_of_a_size_are_as_planned():
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts/gpu_compile.py", "--size=opt-125m"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("step, everything counted") == 2
